// A switch on each chapter for all code at once: as the page is written, all, none. Three radio buttons, made here,
// so that nothing is promised without JavaScript. Nothing is kept or fetched. Solutions stay folded: they are answers.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector(".echobook-verdict-box");
  if (!box) return;
  const folds = [...document.querySelectorAll("div.cell:not(.tag_solution) > details.hide")];
  const inputs = [...document.querySelectorAll("div.cell:not(.tag_solution) > div.cell_input")];
  const sources = [...document.querySelectorAll("div.cell_output div[class*='highlight-python']")].map((code) => code.closest("div.cell_output"));
  const choose = (choice) => {
    for (const fold of folds) fold.open = choice === "all";
    for (const part of [...inputs, ...sources]) part.hidden = choice === "none";
  };
  const field = document.createElement("fieldset");
  field.className = "echobook-code-switch";
  const legend = document.createElement("legend");
  legend.textContent = "Code on this page";
  field.append(legend);
  for (const [value, text] of [["chosen", "the method’s"], ["all", "all"], ["none", "none"]]) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "echobook-code", value, checked: value === "chosen", autocomplete: "off" });
    radio.addEventListener("change", () => choose(value));
    label.append(radio, " " + text);
    field.append(label);
  }
  (box.closest("div.cell") || box).after(field);
});
