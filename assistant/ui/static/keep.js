"use strict";
// Conversations in this browser: one entry each, so that two tabs do not overwrite each other.
window.assistantPage = {};
window.assistantPage.keeper = (() => {
  const PREFIX = "assistant.v1:" + location.pathname + ":";
  const TALK = PREFIX + "talk:";
  const LANGUAGE = PREFIX + "language";
  const OPEN = PREFIX + "open";

  // `limit`: characters of all conversations together. `notice`: why the last one was not kept.
  const keeper = { limit: 4_000_000, notice: "" };

  // What `action` makes of a storage, null in a browser that lets the page keep nothing.
  function within(area, action) {
    try {
      return action(window[area]);
    } catch (error) {
      return null;
    }
  }

  function read(key) {
    try {
      const talk = JSON.parse(window.localStorage.getItem(key));
      return talk && Array.isArray(talk.messages) ? { ...talk, id: key.slice(TALK.length) } : null;
    } catch (error) {
      return null; // damaged, or no storage
    }
  }

  const keys = (store) => Object.keys(store).filter((key) => key.startsWith(TALK));

  keeper.all = () => (within("localStorage", (store) => keys(store).map(read)) ?? [])
    .filter(Boolean).sort((one, other) => other.updated - one.updated);

  keeper.find = (id) => (id ? read(TALK + id) : null);

  keeper.keep = (talk) => {
    const own = TALK + talk.id;
    const text = JSON.stringify({ ...talk, id: undefined });
    try {
      const others = keys(window.localStorage).filter((key) => key !== own)
        .reduce((sum, key) => sum + window.localStorage.getItem(key).length, 0);
      if (others + text.length > keeper.limit) throw new Error("full");
      window.localStorage.setItem(own, text);
      keeper.notice = "";
      return true;
    } catch (error) {
      keeper.notice = within("localStorage", (store) => store.length) === null ? "noStorage" : "full";
      return false;
    }
  };

  keeper.remove = (id) => {
    within("localStorage", (store) => store.removeItem(TALK + id));
    keeper.notice = "";
  };

  keeper.newId = () => Date.now().toString(36) + Math.random().toString(36).slice(2, 8);

  // The open conversation is remembered for this tab, the language for the browser.
  keeper.open = () => within("sessionStorage", (store) => store.getItem(OPEN));
  keeper.rememberOpen = (id) => within("sessionStorage", (store) =>
    id ? store.setItem(OPEN, id) : store.removeItem(OPEN));
  keeper.language = () => within("localStorage", (store) => store.getItem(LANGUAGE));
  keeper.rememberLanguage = (tag) => within("localStorage", (store) => store.setItem(LANGUAGE, tag));

  keeper.onChangeElsewhere = (action) => window.addEventListener("storage", (event) => {
    if (event.key?.startsWith(TALK)) action();
  });

  return keeper;
})();
