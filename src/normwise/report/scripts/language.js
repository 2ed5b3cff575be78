"use strict";
// Remembers the language that was chosen; the switch itself needs no script.
(() => {
  const choices = [...document.querySelectorAll("input[name=language]")];

  // Some browsers keep no storage for pages that were opened as files.
  function stored(action) {
    try {
      return action(localStorage);
    } catch {
      return null;
    }
  }

  function tell() {
    const chosen = choices.find((choice) => choice.checked);
    document.documentElement.lang = chosen.value;
    return chosen.value;
  }

  const before = stored((storage) => storage.getItem("normwise-language"));
  for (const choice of choices) {
    if (choice.value === before) choice.checked = true;
    choice.addEventListener("change", () => {
      const value = tell();
      stored((storage) => storage.setItem("normwise-language", value));
    });
  }
  tell();
})();
