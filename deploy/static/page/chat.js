// The whole page: loads the model into this tab and talks with it. Nothing leaves the browser.
import { Wllama, LoggerWithoutDebug } from "./wllama/index.min.js";

const about = await (await fetch("assistant.json")).json();
const found = (id) => document.getElementById(id);
const MODEL = new URL(about.model.file, location.href).href;
const MEGABYTE = 1e6;

const wllama = new Wllama(
  { default: new URL("wllama/wllama.wasm", location.href).href },
  { allowOffline: true, suppressNativeLog: true, logger: LoggerWithoutDebug },
);
// For browsers without JSPI or 64-bit memory (Safari); by default it would come from a CDN.
wllama.setCompat({
  worker: new URL("wllama/compat.js", location.href).href,
  wasm: new URL("wllama/compat.wasm", location.href).href,
});

const store = {
  get(name, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(`assistant.${name}`)) ?? otherwise;
    } catch {
      return otherwise; // storage is closed or holds what another page left
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`assistant.${name}`, JSON.stringify(value));
    } catch {
      // full or closed: the talk goes on, it is only not kept
    }
  },
};

let language = store.get("language", navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
let talk = store.get("talk", []).filter((one) => one && typeof one.content === "string");
let systemPrompt = null; // null: the persona's own
let answering = null; // an AbortController while an answer comes
let waiting = null; // a question asked before the model is there

const say = (name, values = {}) =>
  about.words[name][language].replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
const spoken = () => (about.languages.includes(language) ? language : about.languages[0]);
const prompt = (style) => about.prompts[spoken()][style ?? ""];

// ---- what is shown ----

function inWords() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = about.name;
  found("name").textContent = about.name;
  found("greeting").textContent = say("greeting", { name: about.name });
  const speaks = about.languages.includes(language);
  found("invitation").textContent = speaks ? say("invitation") : say("speaks_only");
  found("language").textContent = say("other_language");
  found("language").lang = language === "zh" ? "en" : "zh-CN";
  for (const id of ["again", "load", "send", "stop", "settings", "private"]) found(id).textContent = say(id);
  for (const id of ["box", "system", "temperature", "length", "style"]) found(`${id}-label`).textContent = say(id);
  found("box").placeholder = say("placeholder");
  found("costs").textContent = say("costs", { size: Math.ceil(about.model.bytes / MEGABYTE) });
  found("system").value = systemPrompt ?? prompt().system;
  showStyles();
  showExamples();
  showState();
}

function showStyles() {
  const chosen = found("style").value;
  const options = [["", say("plain")], ...about.styles.map((style) => [style.name, style.label[language]])];
  found("style").replaceChildren(...options.map(([value, label]) => new Option(label, value, false, value === chosen)));
  found("style-row").hidden = about.styles.length === 0;
}

function showExamples() {
  const buttons = about.examples[spoken()].map((example) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = example;
    button.addEventListener("click", () => ask(example));
    return button;
  });
  found("examples").replaceChildren(...buttons);
}

function showState() {
  const loaded = wllama.isModelLoaded();
  found("offer").hidden = loaded;
  const threads = loaded ? wllama.getNumThreads() : 0;
  found("state").textContent = loaded ? say(threads > 1 ? "ready_threads" : "ready", { threads }) : say("not_loaded");
  found("empty").hidden = talk.length > 0 && loaded;
  for (const id of ["greeting", "invitation", "examples"]) found(id).hidden = talk.length > 0;
  found("again").hidden = talk.length === 0;
  found("send").hidden = answering !== null;
  found("stop").hidden = answering === null;
}

function line(role, content) {
  const item = document.createElement("li");
  item.className = role;
  item.textContent = content;
  found("talk").append(item);
  item.scrollIntoView({ block: "end" });
  return item;
}

function tell(text) {
  found("notice").textContent = text;
  found("notice").hidden = !text;
}

// ---- the model ----

async function isKept() {
  try {
    return (await wllama.modelManager.getModels()).some((model) => model.url === MODEL);
  } catch {
    return false; // no storage in this window: it is fetched each time
  }
}

async function load() {
  const progress = found("progress");
  found("load").hidden = true;
  found("trouble").hidden = true;
  progress.hidden = false;
  found("state").textContent = say("loading");
  try {
    await wllama.loadModelFromUrl(MODEL, {
      n_ctx: about.context,
      n_gpu_layers: 0, // small models answer sooner without: no shaders to compile
      progressCallback: ({ loaded, total }) => {
        progress.value = total ? loaded / total : 0;
        found("state").textContent = say("loading_part", { part: Math.floor(100 * progress.value) });
      },
    });
  } catch (error) {
    failed(error);
    return;
  } finally {
    progress.hidden = true;
  }
  showState();
  if (waiting !== null) {
    const text = waiting;
    waiting = null;
    tell("");
    await answer(text);
  }
}

function failed(error) {
  const reason = String(error?.message ?? error);
  const memory = /memory|allocat|OOM|RangeError/i.test(`${error?.name} ${reason}`);
  found("trouble").textContent = say(memory ? "no_memory" : "not_loaded_because", { reason });
  found("trouble").hidden = false;
  found("load").textContent = say("try_again");
  found("load").hidden = false;
  found("state").textContent = say("not_loaded");
}

function cannotRun() {
  if (typeof WebAssembly !== "object" || typeof Worker !== "function") return say("no_webassembly");
  return "";
}

// ---- talking ----

function ask(text) {
  text = text.trim();
  if (!text || answering || waiting !== null) return;
  found("box").value = "";
  grow();
  if (wllama.isModelLoaded()) {
    answer(text);
    return;
  }
  waiting = text;
  tell(say("waiting"));
  if (!found("load").hidden) load();
}

function request(text, style, kept) {
  const own = prompt(style?.name);
  const system = [systemPrompt ?? prompt().system, own.asks].map((part) => part.trim()).filter(Boolean).join("\n");
  const sampling = about.sampling;
  return {
    messages: [
      ...(system ? [{ role: "system", content: system }] : []),
      ...kept.filter((one) => one.role !== "told").map(({ role, content }) => ({ role, content })),
      { role: "user", content: text + own.trigger },
    ],
    stream: true,
    max_tokens: number("length", sampling.max_tokens),
    temperature: number("temperature", style?.temperature ?? sampling.temperature),
    top_p: style?.top_p ?? sampling.top_p,
    top_k: sampling.top_k,
    min_p: 0,
    repeat_penalty: sampling.repetition_penalty,
    repeat_last_n: about.context,
    stop: sampling.stop,
    abortSignal: answering.signal,
  };
}

function number(id, otherwise) {
  const value = found(id).valueAsNumber;
  return Number.isFinite(value) ? value : otherwise;
}

async function answer(text) {
  const style = about.styles.find((one) => one.name === found("style").value);
  let history = talk.filter((one) => one.role !== "told");
  answering = new AbortController();
  tell("");
  talk.push({ role: "user", content: text });
  line("user", text);
  showState();
  const item = line("assistant waiting", "");
  let content = "";
  let ended = "stop";
  for (;;) {
    try {
      for await (const chunk of await wllama.createChatCompletion(request(text, style, history))) {
        const choice = chunk.choices?.[0];
        content += choice?.delta?.content ?? "";
        ended = choice?.finish_reason ?? ended;
        item.textContent = content;
        keepInSight(item);
      }
      break;
    } catch (error) {
      if (answering.signal.aborted) {
        ended = "stopped";
        break;
      }
      if (!content && history.length >= 2 && /context|exceed|kv.?cache/i.test(String(error?.message))) {
        history = history.slice(2); // the oldest turn no longer fits
        tell(say("dropped"));
        continue;
      }
      ended = "failed";
      tell(say("failed", { reason: String(error?.message ?? error) }));
      break;
    }
  }
  finish(text, item, content, ended);
}

function finish(text, item, content, ended) {
  const stopped = answering?.signal.aborted;
  answering = null;
  item.classList.remove("waiting");
  if (content) talk.push({ role: "assistant", content });
  else {
    // nothing came: the question goes back where it can be sent again
    item.previousElementSibling?.remove();
    item.remove();
    talk.pop();
    if (!found("box").value) found("box").value = text;
    grow();
  }
  if (stopped) tell(say("stopped"));
  else if (ended === "length") tell(say("cut"));
  store.set("talk", talk);
  showState();
}

function keepInSight(item) {
  const main = document.querySelector("main");
  if (main.scrollHeight - main.scrollTop - main.clientHeight < 120) item.scrollIntoView({ block: "end" });
}

function grow() {
  const box = found("box");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

// ---- begin ----

found("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask(found("box").value);
});
found("box").addEventListener("input", grow);
found("box").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask(found("box").value);
  }
});
found("stop").addEventListener("click", () => answering?.abort());
found("load").addEventListener("click", load);
found("again").addEventListener("click", () => {
  if (answering) return;
  talk = [];
  store.set("talk", talk);
  found("talk").replaceChildren();
  tell("");
  showState();
});
found("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  store.set("language", language);
  inWords();
});
found("system").addEventListener("input", () => {
  systemPrompt = found("system").value;
});

found("temperature").placeholder = about.sampling.temperature;
found("length").placeholder = about.sampling.max_tokens;
inWords();
for (const one of talk) line(one.role, one.content);

const trouble = cannotRun();
if (trouble) {
  found("trouble").textContent = trouble;
  found("trouble").hidden = false;
  found("load").hidden = true;
} else {
  await keepPage();
  if (await isKept()) load();
}

// The worker keeps the page for offline visits. Where the host does not send the headers for threads, it
// does, from the next load on: so the first visit is loaded once more, before anything is typed.
async function keepPage() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
  } catch {
    return; // a private window, or http: the page works, without threads and only online
  }
  if (!crossOriginIsolated && window === window.top && !sessionStorage.getItem("isolating")) {
    sessionStorage.setItem("isolating", "yes");
    location.reload();
    await new Promise(() => {});
  }
}
