"use strict";
// Language, drawers, the page's name, and what gr.Chatbot leaves to be said.
(() => {
  const page = window.assistantPage;
  const keeper = page.keeper;
  let language = "en";

  page.word = (key, values = {}) =>
    window.assistantWords[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  const word = page.word;

  // ---- language, name, drawers

  page.rememberedLanguage = keeper.language;

  function speak(tag) {
    language = tag === "zh" ? "zh" : "en";
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    page.shelf.draw();
    relabelAll();
  }

  page.setLanguage = (tag) => {
    keeper.rememberLanguage(tag);
    speak(tag);
  };

  page.begin = (tag) => {
    speak(tag);
    watch();
    page.openLast();
    document.body.classList.add("assistant-ready");
  };

  let named = null;

  function nameThePage() {
    const name = document.querySelector("#heading h1")?.dataset.name;
    if (!name || name === named) return;
    named = name;
    document.title = name;
    const letter = Array.from(name)[0].replace(/[<>&"']/g, "");
    const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">` +
      `<rect width="64" height="64" rx="16" fill="#0f766e"/><text x="32" y="33" fill="#fff" ` +
      `font-size="36" font-family="sans-serif" text-anchor="middle" ` +
      `dominant-baseline="central">${letter}</text></svg>`;
    document.querySelectorAll("link[rel~=icon]").forEach((link) => link.remove());
    const link = document.createElement("link");
    Object.assign(link, { rel: "icon", type: "image/svg+xml" });
    link.href = "data:image/svg+xml," + encodeURIComponent(picture);
    document.head.append(link);
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
  page.toggle = toggle;

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
      own = document.createElement("div");
      Object.assign(own, { className: "literal", dir: "auto" });
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

})();
