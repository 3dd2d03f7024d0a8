"use strict";
// Conversations out to files and back. The server writes and reads their format, in memory.
(() => {
  const page = window.assistantPage;
  const keeper = page.keeper;
  const shelf = page.shelf;
  const LARGEST_FILE = 5_000_000;

  page.download = (file) => {
    if (!file) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file.text], { type: file.type + ";charset=utf-8" }));
    link.download = file.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };

  page.takeIn = (talks) => {
    if (!talks) return;
    const kept = [];
    talks.forEach((talk, place) => {
      const id = keeper.newId();
      const title = talk.title || shelf.titleOf(talk.messages);
      const updated = Date.now() + talks.length - place;
      const named = Boolean(talk.title);
      if (keeper.keep({ ...talk, id, title, named, updated })) kept.push(id);
    });
    shelf.draw();
    if (kept.length) shelf.show(kept[0], { imported: kept.length });
  };

  page.pickFile = () => {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = ".jsonl,.json,.txt,application/jsonl";
    input.onchange = async () => {
      const file = input.files[0];
      if (!file) return;
      if (file.size > LARGEST_FILE) {
        shelf.tell("fileTooLarge", { limit: LARGEST_FILE / 1e6 });
        return;
      }
      try {
        const bytes = await file.arrayBuffer();
        shelf.send("upload", { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) });
      } catch (error) {
        shelf.tell("notText");
      }
    };
    input.click();
  };

  page.exportAs = (form) => {
    const conversations = form === "all" ? keeper.all() : [shelf.openTalk()];
    shelf.send("download", { form: form === "markdown" ? form : "jsonl", conversations });
    page.toggle("shelf", false);
  };
})();
