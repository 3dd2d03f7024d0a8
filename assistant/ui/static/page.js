"use strict";
// What only the browser can do: keep conversations, remember the language, save and open files.
// Text from people and models is only ever set as text, never as HTML.
window.assistantPage = (() => {
  const PREFIX = "assistant.v1:" + location.pathname + ":";
  const TALK = PREFIX + "talk:";
  const LANGUAGE = PREFIX + "language";
  const OPEN = PREFIX + "open";
  const LIMIT = 4_000_000; // characters of all conversations together
  const LARGEST_FILE = 5_000_000;
  const TITLE_LENGTH = 60;

  let language = "en";
  let openId = null;
  let isBusy = false;
  let began = false;
  let wanted = null; // a conversation to open when the answer under way has stopped
  let notice = "";
  let element = null;
  let send = () => {};
  const page = { limit: LIMIT };
  const word = (key, values = {}) =>
    window.assistantWords[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

  // ---- storage: one entry a conversation, so that two tabs do not overwrite each other

  function storage(action) {
    try {
      return action(window.localStorage);
    } catch (error) {
      return null;
    }
  }

  function talks() {
    const found = storage((store) =>
      Object.keys(store).filter((key) => key.startsWith(TALK)).map((key) => read(key)));
    return (found ?? []).filter(Boolean).sort((one, other) => other.updated - one.updated);
  }

  function read(key) {
    try {
      const talk = JSON.parse(window.localStorage.getItem(key));
      return talk && Array.isArray(talk.messages) ? { ...talk, id: key.slice(TALK.length) } : null;
    } catch (error) {
      return null;
    }
  }

  const find = (id) => (id ? read(TALK + id) : null);

  function used(except) {
    return storage((store) => Object.keys(store)
      .filter((key) => key.startsWith(TALK) && key !== except)
      .reduce((sum, key) => sum + store.getItem(key).length, 0)) ?? 0;
  }

  function keep(talk) {
    const key = TALK + talk.id;
    const text = JSON.stringify({ ...talk, id: undefined });
    try {
      if (used(key) + text.length > page.limit) throw new Error("full");
      window.localStorage.setItem(key, text);
      notice = "";
      return true;
    } catch (error) {
      notice = storage((store) => store.length) === null ? "noStorage" : "full";
      return false;
    }
  }

  const newId = () => Date.now().toString(36) + Math.random().toString(36).slice(2, 8);

  function titleOf(messages) {
    const first = messages.find((message) => message.role === "user");
    const line = (first?.content ?? "").replace(/\s+/g, " ").trim();
    return Array.from(line).slice(0, TITLE_LENGTH).join("");
  }

  // ---- the open conversation

  function plain(chat) {
    return (chat ?? []).map((message) => ({
      role: message.role,
      content: typeof message.content === "string" ? message.content
        : (message.content ?? []).map((part) => part.text ?? "").join(""),
    }));
  }

  const ownSystem = () => document.querySelector("#heading h1")?.dataset.system;

  page.save = (chat, system, style, ratings) => {
    if (!began) return;
    const messages = plain(chat);
    const before = find(openId);
    if (!messages.length && !before) return;
    const talk = {
      messages,
      system_prompt: system === ownSystem() ? null : system,
      style: style ?? "",
      ratings: (ratings ?? []).slice(0, Math.floor(messages.length / 2)),
    };
    const same = before && Object.keys(talk).every(
      (key) => JSON.stringify(before[key]) === JSON.stringify(talk[key]));
    if (same) return;
    openId ??= newId();
    keep({
      ...before, ...talk, id: openId, updated: Date.now(),
      title: before?.named ? before.title : titleOf(messages),
    });
    rememberOpen();
    draw();
  };

  function rememberOpen() {
    try {
      if (openId) window.sessionStorage.setItem(OPEN, openId);
      else window.sessionStorage.removeItem(OPEN);
    } catch (error) { /* a browser without storage: nothing to remember */ }
  }

  function lastOpen() {
    try {
      return window.sessionStorage.getItem(OPEN);
    } catch (error) {
      return null;
    }
  }

  function show(id) {
    if (isBusy) { // the answer under way belongs to the open conversation: stop it first
      wanted = { id };
      document.querySelector("#stop")?.click();
      return;
    }
    openId = id;
    rememberOpen();
    send("select", { conversation: find(id) ?? {} });
    draw();
    toggle("shelf", false);
    if (id === null) document.querySelector("#box textarea")?.focus();
  }

  page.busy = (busy) => { isBusy = busy; };

  page.ended = (...kept) => {
    page.save(...kept);
    isBusy = false;
    if (wanted) {
      const { id } = wanted;
      wanted = null;
      show(id);
    }
  };

  // ---- files

  page.download = (file) => {
    if (!file) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file.text], { type: file.type + ";charset=utf-8" }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };

  page.takeIn = (talksRead) => {
    if (!talksRead) return;
    let newest = null;
    talksRead.forEach((talk, place) => {
      const id = newId();
      const title = talk.title || titleOf(talk.messages);
      const named = Boolean(talk.title);
      const updated = Date.now() + talksRead.length - place;
      if (keep({ ...talk, id, title, named, updated })) newest ??= id;
    });
    draw();
    if (newest) show(newest);
  };

  function pickFile() {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = ".jsonl,.json,.txt,application/jsonl";
    input.onchange = async () => {
      const file = input.files[0];
      if (!file) return;
      if (file.size > LARGEST_FILE) return tell("fileTooLarge", { limit: LARGEST_FILE / 1e6 });
      try {
        const bytes = await file.arrayBuffer();
        send("upload", { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) });
      } catch (error) {
        tell("notText");
      }
    };
    input.click();
  }

  let told = null;
  function tell(key, values) {
    told = { key, values };
    draw();
  }

  function exportAs(form) {
    const chosen = form === "all" ? talks() : [find(openId) ?? { messages: [] }];
    send("download", { form: form === "markdown" ? form : "jsonl", conversations: chosen });
    toggle("shelf", false);
  }

  // ---- the list of conversations

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const button = (key, name, onclick) =>
    make("button", { type: "button", class: name, onclick }, word(key));

  function draw() {
    if (!element) return;
    const shownTalks = talks();
    const said = [];
    if (notice) said.push(make("p", { class: "notice", role: "alert" }, word(notice)));
    if (told) {
      said.push(make("p", { class: "notice", role: "alert" }, word(told.key, told.values)));
      told = null;
    }
    element.replaceChildren(
      make("div", { class: "drawer-title" }, make("h2", {}, word("conversations")),
        make("button", { type: "button", class: "icon only-narrow", "data-close": "shelf",
          "aria-label": word("close"), title: word("close") }, "✕")),
      button("new", "new", () => show(null)),
      make("ul", { "aria-label": word("conversations") }, ...shownTalks.map(row)),
      ...said,
      make("div", { class: "files" },
        button("exportMarkdown", "", () => exportAs("markdown")),
        button("exportJsonl", "", () => exportAs("jsonl")),
        button("exportAll", "", () => exportAs("all")),
        button("import", "", pickFile)),
      make("p", { class: "kept" }, word("kept")),
    );
  }

  function icon(key, sign, onclick) {
    return make("button", {
      type: "button", class: "icon", "aria-label": word(key), title: word(key), onclick,
    }, sign);
  }

  function row(talk) {
    const title = talk.title || word("untitled");
    const opener = make("button", {
      type: "button", class: "opener", dir: "auto", title, onclick: () => show(talk.id),
    }, title);
    const current = talk.id === openId;
    if (current) opener.setAttribute("aria-current", "true");
    const line = make("li", current ? { class: "current" } : {}, opener,
      icon("rename", "✎", () => rename(line, talk)),
      icon("delete", "✕", () => remove(talk, title)));
    return line;
  }

  function rename(line, talk) {
    const field = make("input", { "aria-label": word("rename"), maxlength: TITLE_LENGTH });
    field.value = talk.title;
    let left = false;
    const done = (taken) => {
      if (left) return;
      left = true;
      const title = field.value.trim();
      const now = find(talk.id);
      if (taken && now) keep({ ...now, title: title || titleOf(now.messages), named: !!title });
      draw();
    };
    field.onblur = () => done(true);
    field.onkeydown = (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter") done(true);
      if (event.key === "Escape") { event.stopPropagation(); done(false); }
    };
    line.replaceChildren(field);
    field.focus();
    field.select();
  }

  function remove(talk, title) {
    if (!window.confirm(word("deleteSure", { title }))) return;
    storage((store) => store.removeItem(TALK + talk.id));
    notice = "";
    if (talk.id === openId) show(null);
    else draw();
  }

  page.mountShelf = (mounted, trigger) => {
    element = mounted;
    send = trigger;
    draw();
    window.addEventListener("storage", (event) => {
      if (event.key?.startsWith(TALK)) draw();
    });
  };

  // ---- language, name, drawers

  page.rememberedLanguage = () => storage((store) => store.getItem(LANGUAGE));

  function speak(tag) {
    language = tag === "zh" ? "zh" : "en";
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    draw();
    relabelAll();
  }

  page.setLanguage = (tag) => {
    storage((store) => store.setItem(LANGUAGE, tag));
    speak(tag);
  };

  page.begin = (tag) => {
    speak(tag);
    watch();
    const last = lastOpen();
    const id = find(last) ? last : null;
    began = true;
    if (id) show(id);
    document.body.classList.add("assistant-ready");
  };

  function nameThePage() {
    const name = document.querySelector("#heading h1")?.dataset.name;
    if (!name || document.title === name) return;
    document.title = name;
    const letter = Array.from(name)[0].replace(/[<>&"']/g, "");
    const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">` +
      `<rect width="64" height="64" rx="16" fill="#0f766e"/><text x="32" y="33" fill="#fff" ` +
      `font-size="36" font-family="sans-serif" text-anchor="middle" ` +
      `dominant-baseline="central">${letter}</text></svg>`;
    document.querySelectorAll("link[rel~=icon]").forEach((link) => link.remove());
    document.head.append(make("link", {
      rel: "icon", type: "image/svg+xml", href: "data:image/svg+xml," + encodeURIComponent(picture),
    }));
  }

  const DRAWERS = { shelf: "#open-shelf", settings: "#open-settings" };

  function toggle(drawer, open) {
    const mark = drawer + "-open";
    const isOpen = document.body.classList.toggle(mark, open);
    document.querySelector(DRAWERS[drawer])?.setAttribute("aria-expanded", String(isOpen));
    for (const other of Object.keys(DRAWERS)) {
      if (isOpen && other !== drawer) toggle(other, false);
    }
  }
  page.toggle = (drawer) => toggle(drawer);

  document.addEventListener("click", (event) => {
    const closer = event.target.closest?.("[data-close]");
    if (closer) toggle(closer.dataset.close, false);
    else if (event.target.id === "main") Object.keys(DRAWERS).forEach((one) => toggle(one, false));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") Object.keys(DRAWERS).forEach((drawer) => toggle(drawer, false));
  });
  document.addEventListener("keypress", (event) => { // Enter that ends an input method's word
    if (event.key === "Enter" && (event.isComposing || event.keyCode === 229)) {
      event.stopPropagation();
    }
  }, true);

  // ---- gr.Chatbot: people's messages literally, button names in the page's language

  const LABELS = { // what Gradio calls its buttons, by the browser's language
    retry: ["Retry", "重试", "重試"], undo: ["Undo", "撤销", "復原"], edit: ["Edit", "编辑", "編輯"],
    submit: ["Submit", "发送", "送出"], cancel: ["Cancel", "取消"],
    copy: ["Copy message"], copied: ["Copied message"],
    like: ["Like", "Liked", "赞", "讚"], dislike: ["Dislike", "Disliked", "踩", "不讚"],
    newMessages: ["Scroll down"],
  };
  const KEY_OF_LABEL = Object.fromEntries(
    Object.entries(LABELS).flatMap(([key, labels]) => labels.map((label) => [label, key])));

  function relabel(button) {
    const now = button.getAttribute("aria-label");
    if (KEY_OF_LABEL[now]) {
      button.dataset.key = KEY_OF_LABEL[now];
      if (now === "Liked" || now === "Disliked") button.setAttribute("aria-pressed", "true");
      else button.removeAttribute("aria-pressed");
    }
    const key = button.dataset.key;
    if (!key || now === word(key)) return;
    button.setAttribute("aria-label", word(key));
    button.title = word(key);
  }

  function literal(message) {
    const label = message.getAttribute("aria-label") ?? "";
    const start = label.indexOf(": ");
    if (start < 0) return;
    const text = label.slice(start + 2);
    let own = message.querySelector(":scope > .literal");
    if (!own) {
      own = make("div", { class: "literal", dir: "auto" });
      message.append(own);
    }
    if (own.textContent !== text) own.textContent = text;
  }

  function relabelAll() {
    document.querySelectorAll("#chat [data-testid=user]").forEach(literal);
    document.querySelectorAll("#chat button[aria-label]").forEach(relabel);
    document.querySelector("#chat [role=log]")?.setAttribute("aria-label", word("conversation"));
    nameThePage();
  }

  let scheduled = false;
  function watch() {
    const look = () => {
      if (scheduled) return;
      scheduled = true;
      requestAnimationFrame(() => { scheduled = false; relabelAll(); });
    };
    const seen = new MutationObserver(look);
    for (const place of ["#chat", "#heading"]) {
      const found = document.querySelector(place);
      if (found) {
        seen.observe(found, { childList: true, subtree: true, characterData: true,
          attributes: true, attributeFilter: ["aria-label"] });
      }
    }
    look();
  }

  return page;
})();
