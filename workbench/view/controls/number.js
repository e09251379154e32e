// A slider and a field that set one number; number.py says what the traits mean.

const ROUND = [1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8]; // of a factor of ten, where `log`
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const KEYS = { // how many steps a key moves
  ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10,
  Home: -Infinity, End: Infinity,
};
const IN_TEXT = ["ArrowRight", "ArrowLeft", "Home", "End"]; // move the cursor of the field

function written(value) {
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
}

function clean(value) { // 0.1 + 0.2 as 0.3
  return Number(value.toPrecision(12));
}

// The next round number in a direction, 1 or -1.
function neighbour(value, direction, { log, step, choices }) {
  if (choices.length > 0) {
    const next = choices.filter(choice => direction * (choice - value) > 0);
    return next.at(direction > 0 ? 0 : -1) ?? value;
  }
  const past = 1e-9 * direction;
  if (!log) {
    const count = value / step + past;
    return clean(step * (direction > 0 ? Math.floor(count) + 1 : Math.ceil(count) - 1));
  }
  const exponent = Math.floor(Math.log10(value));
  const numbers = [-1, 0, 1].flatMap(add => ROUND.map(digits => +`${digits}e${exponent + add}`));
  return direction > 0
    ? numbers.find(number => number > value * (1 + past))
    : numbers.findLast(number => number < value * (1 + past));
}

function share(value, { min, max, log, choices }) { // where the handle is, 0 to 1
  if (choices.length > 1) return choices.indexOf(value) / (choices.length - 1);
  const scale = log ? Math.log : Number;
  return max > min ? (scale(value) - scale(min)) / (scale(max) - scale(min)) : 0;
}

function valueAt(share, { min, max, log, step, choices }) {
  if (choices.length > 0) return choices[Math.round(share * (choices.length - 1))];
  if (share <= 0 || share >= 1) return share <= 0 ? min : max;
  if (log) return Number((min * (max / min) ** share).toPrecision(2));
  return clean(Math.round((min + share * (max - min)) / step) * step);
}

function refusal(text, { min, max, whole, choices, description }) { // "" for what is accepted
  const value = NUMBER.test(text) ? Number(text) : NaN;
  const fits = value >= min && value <= max && (!whole || Number.isInteger(value));
  if (fits && (choices.length === 0 || choices.includes(value))) return "";
  const kind = whole ? "a whole number " : Number.isNaN(value) ? "a number " : "";
  const accepted = choices.length > 0
    ? `one of ${choices.map(written).join(", ")}`
    : `${kind}from ${written(min)} to ${written(max)}`;
  return `${description} must be ${accepted}, not ${text || "empty"}`;
}

function element(tag, traits, parent) {
  const made = Object.assign(document.createElement(tag), traits);
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const id = `wb-number-${Math.random().toString(36).slice(2)}`; // a page may load this file twice
  el.classList.add("wb-number");
  const label = element("label", { htmlFor: id, id: `${id}-label` }, el);
  const slider = element("input", { type: "range", min: 0, max: 1, step: "any" }, el);
  const field = element("input", {
    type: "text", id, inputMode: "decimal", autocomplete: "off", spellcheck: false,
  }, el);
  const unit = element("span", { className: "wb-unit" }, el);
  const problem = element("span", { className: "wb-refusal", id: `${id}-problem` }, el);
  slider.setAttribute("aria-labelledby", label.id);
  slider.dataset.lmSuppressShortcuts = ""; // its keys are no shortcuts of JupyterLab
  field.setAttribute("aria-describedby", problem.id);
  problem.setAttribute("aria-live", "polite");

  const traits = () => Object.fromEntries(
    ["min", "max", "log", "step", "whole", "choices", "description"].map(name => [name, model.get(name)]));

  function complain(words) {
    problem.textContent = words;
    field.setAttribute("aria-invalid", words !== "");
  }

  function fit() {
    field.style.width = `${Math.min(16, Math.max(6, field.value.length + 1))}ch`;
  }

  function refresh() {
    const value = model.get("value"), text = written(value);
    label.textContent = model.get("description");
    unit.textContent = model.get("unit");
    el.title = model.get("tooltip");
    slider.value = share(value, traits());
    slider.setAttribute("aria-valuetext", `${text} ${model.get("unit")}`.trim());
    slider.hidden = !model.get("slider");
    slider.disabled = field.disabled = model.get("disabled");
    field.value = text;
    fit();
    complain("");
  }

  function put(value) {
    model.set("value", Math.min(Math.max(value, model.get("min")), model.get("max")));
    model.save_changes();
    refresh();
  }

  function move(count) {
    let value = model.get("value");
    const known = traits(), direction = Math.sign(count);
    if (Number.isFinite(count)) {
      for (let left = Math.abs(count); left > 0; left--) value = neighbour(value, direction, known);
    } else {
      value = count; // put keeps it in the range
    }
    put(value);
  }

  slider.addEventListener("input", () => put(valueAt(slider.valueAsNumber, traits())));
  field.addEventListener("input", fit);
  field.addEventListener("change", () => {
    const text = field.value.trim(), words = refusal(text, traits());
    words ? complain(words) : put(Number(text));
  });
  el.addEventListener("keydown", event => {
    const typed = event.target === field;
    if (event.key === "Escape" && typed) refresh();
    else if (event.key in KEYS && !(typed && IN_TEXT.includes(event.key)) && !event.ctrlKey) {
      event.preventDefault();
      move(KEYS[event.key]);
    }
    event.stopPropagation();
  });
  model.on("change", refresh);
  refresh();
  return () => model.off("change", refresh);
}

export default { render };
