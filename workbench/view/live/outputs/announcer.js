// A line for screen readers. It stays in the page and only its text changes, or it would not be read.

function render({ model, el }) {
  const line = document.createElement("div");
  line.setAttribute("aria-live", "polite");
  const say = () => { line.textContent = model.get("text"); };
  say();
  el.append(line);
  model.on("change:text", say);
  return () => model.off("change:text", say);
}

export default { render };
