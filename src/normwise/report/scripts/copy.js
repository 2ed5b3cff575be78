"use strict";
// Shows the buttons that copy the code beside them: they need this script.
(() => {
  // Browsers that keep their clipboard from pages that were opened as files still copy what is selected.
  function copySelected(code) {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand("copy");
  }

  async function copyOf(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      return copySelected(code);
    }
  }

  const said = {
    en: { done: "Copied", selected: "Selected: press Ctrl+C" },
    "zh-Hans": { done: "已复制", selected: "已选中，请按 Ctrl+C" },
  };

  for (const button of document.querySelectorAll("button.copy")) {
    const label = [...button.childNodes];
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copyOf(button.parentElement.querySelector("code"));
      button.textContent = said[document.documentElement.lang][done ? "done" : "selected"];
      setTimeout(() => button.replaceChildren(...label), 2000);
    });
  }
})();
