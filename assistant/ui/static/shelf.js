"use strict";
// The list of conversations and the open one.
// Text from people and models is only ever set as text, never as HTML.
(() => {
  const page = window.assistantPage;
  const keeper = page.keeper;
  const TITLE_LENGTH = 60;
  const WHILE_ANSWERING = 500; // milliseconds between two times an answer under way is kept

  let openId = null;
  let began = false;
  let answers = 0; // under way
  let opening = false; // the page does not show the open conversation yet: nothing to keep
  let wanted = null; // what to open when the answer under way has stopped
  let savedAt = 0;
  let told = null; // to be said once
  let element = null;
  let send = () => {};

  // ---- the open conversation

  function titleOf(messages) {
    const first = messages.find((message) => message.role === "user");
    const line = (first?.content ?? "").replace(/\s+/g, " ").trim();
    return Array.from(line).slice(0, TITLE_LENGTH).join("").trim();
  }

  function plain(chat) {
    return (chat ?? []).map((message) => ({
      role: message.role,
      content: typeof message.content === "string" ? message.content
        : (message.content ?? []).map((part) => part.text ?? "").join(""),
    }));
  }

  const ownSystem = () => document.querySelector("#heading h1")?.dataset.system;

  page.save = (chat, system, style, ratings) => {
    if (!began || opening || wanted?.discard) return;
    if (answers && Date.now() - savedAt < WHILE_ANSWERING) return;
    savedAt = Date.now();
    const messages = plain(chat);
    const before = keeper.find(openId);
    if (!messages.length && !before?.named) { // nothing was said after all
      if (before) forget();
      return;
    }
    const talk = {
      messages,
      system_prompt: system === ownSystem() ? null : system,
      style: style ?? "",
      ratings: (ratings ?? []).slice(0, Math.floor(messages.length / 2)),
    };
    const same = before && Object.keys(talk).every(
      (key) => JSON.stringify(before[key]) === JSON.stringify(talk[key]));
    if (same) return;
    openId ??= keeper.newId();
    keeper.keep({
      ...before, ...talk, id: openId, updated: Date.now(),
      title: before?.named ? before.title : titleOf(messages),
    });
    keeper.rememberOpen(openId);
    draw();
  };

  function forget() {
    keeper.remove(openId);
    openId = null;
    keeper.rememberOpen(null);
    draw();
  }

  function show(id, { discard = false, imported = 0 } = {}) {
    if (answers) { // the answer under way belongs to the open conversation: stop it first
      wanted = { id, discard, imported };
      document.querySelector("#stop")?.click();
      return;
    }
    openId = id;
    opening = true;
    keeper.rememberOpen(openId);
    send("select", { conversation: keeper.find(id) ?? {}, imported });
    draw();
    page.toggle("shelf", false);
    if (id === null) document.querySelector("#box textarea")?.focus();
  }

  page.opened = () => { opening = false; };

  page.began = () => { answers += 1; };

  page.ended = (...kept) => {
    answers = Math.max(0, answers - 1);
    savedAt = 0;
    page.save(...kept);
    if (wanted && !answers) {
      const { id, imported } = wanted;
      wanted = null;
      show(id, { imported });
    }
  };

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
    make("button", { type: "button", class: name, "data-focus": key, onclick }, page.word(key));

  function draw() {
    if (!element || element.querySelector("li input")) return; // a name is being written
    const focused = document.activeElement?.dataset?.focus;
    const shownTalks = keeper.all();
    const said = [];
    if (keeper.notice) said.push(make("p", { class: "notice", role: "alert" }, page.word(keeper.notice)));
    if (told) {
      said.push(make("p", { class: "notice", role: "alert" }, page.word(told.key, told.values)));
      told = null;
    }
    element.replaceChildren(
      make("div", { class: "drawer-title" }, make("h2", {}, page.word("conversations")),
        make("button", { type: "button", class: "icon only-narrow", "data-close": "shelf",
          "aria-label": page.word("close"), title: page.word("close") }, "✕")),
      button("new", "new", () => show(null)),
      make("ul", { "aria-label": page.word("conversations") }, ...shownTalks.map(row)),
      ...said,
      make("div", { class: "files" },
        button("exportMarkdown", "", () => page.exportAs("markdown")),
        button("exportJsonl", "", () => page.exportAs("jsonl")),
        button("exportAll", "", () => page.exportAs("all")),
        button("import", "", () => page.pickFile())),
      make("p", { class: "kept" }, page.word("kept")),
    );
    if (focused) element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  function icon(key, sign, onclick) {
    return make("button", {
      type: "button", class: "icon", "aria-label": page.word(key), title: page.word(key), onclick,
    }, sign);
  }

  function tell(key, values) {
    told = { key, values };
    draw();
  }

  function row(talk) {
    const title = talk.title || page.word("untitled");
    const opener = make("button", {
      type: "button", class: "opener", dir: "auto", title, "data-focus": talk.id, onclick: () => show(talk.id),
    }, title);
    const current = talk.id === openId;
    if (current) opener.setAttribute("aria-current", "true");
    const line = make("li", current ? { class: "current" } : {}, opener,
      icon("rename", "✎", () => rename(line, talk)),
      icon("delete", "✕", () => remove(talk, title)));
    return line;
  }

  function rename(line, talk) {
    const field = make("input", { "aria-label": page.word("rename"), maxlength: TITLE_LENGTH });
    field.value = talk.title;
    let left = false;
    const done = (taken) => {
      if (left) return;
      left = true;
      const title = field.value.trim();
      const now = keeper.find(talk.id);
      if (taken && now) keeper.keep({ ...now, title: title || titleOf(now.messages), named: !!title });
      field.remove();
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
    if (!window.confirm(page.word("deleteSure", { title }))) return;
    keeper.remove(talk.id);
    if (talk.id === openId) show(null, { discard: true });
    else draw();
  }

  page.mountShelf = (mounted, trigger) => {
    element = mounted;
    send = trigger;
    draw();
    keeper.onChangeElsewhere(draw);
  };
  page.shelf = {
    titleOf, draw, show, tell,
    send: (...event) => send(...event),
    openTalk: () => keeper.find(openId) ?? { messages: [] },
  };

  page.openLast = () => {
    began = true;
    const last = keeper.open();
    if (keeper.find(last)) show(last);
  };
})();
