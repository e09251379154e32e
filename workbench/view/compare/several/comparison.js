// A table of prompts answered by several models: sorted by its headers, filtered by the fields below
// them; a row opens its answers, chosen rows are saved. The same in a notebook and on a page.
// Every text is set by textContent; nothing of the data is evaluated.

const STEP = 50; // rows that are in the document at first, and that "more" adds

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function number(value) {
  if (value === null) return "–";
  const text = Number.isInteger(value) ? String(value) : value.toFixed(2);
  return text.replace("-", "−");
}

// What a filter of one column lets through; null: everything.
function test(column, filter) {
  const values = column.values;
  if (column.kind === "number") {
    const low = parseFloat(filter.low.value), high = parseFloat(filter.high.value);
    if (Number.isNaN(low) && Number.isNaN(high)) return null;
    return row => values[row] !== null &&
      !(values[row] < low) && !(values[row] > high);
  }
  if (column.kind === "choice") {
    const wanted = filter.choice.value;
    return wanted === "" ? null : row => values[row] === wanted.slice(1);
  }
  const wanted = filter.text.value.toLowerCase();
  return wanted === "" ? null : row => values[row].toLowerCase().includes(wanted);
}

export function build(root, data, { opened = () => {}, save, label = "prompts" }) {
  const { columns, names, answers, cuts, places } = data;
  const count = places.length;
  const chosen = new Set(), open = new Map();
  const texts = answers.map(row => row.map(parts => parts.map(part => part[1]).join("")));
  const searched = texts.map((row, i) =>
    [columns[0].values[i], ...row].join("\n").toLowerCase());
  let order = places.map((_, row) => row), found = order, limit = STEP, by = null, sign = 1;

  const status = make("output", { "aria-live": "polite" });
  const search = make("input", { type: "search", "aria-label": "search prompts and answers",
    placeholder: "search prompts and answers" });
  const differing = make("input", { type: "checkbox" });
  const clear = make("button", { type: "button" }, "Clear filters");
  const bar = make("div", { class: "wbc-bar", role: "search" }, search,
    make("label", {}, differing, " only where answers differ"), clear, status);

  const groups = make("tr", {}, make("td"));
  const heads = make("tr", {}, make("th", { scope: "col" }, make("span", { class: "wbc-hidden" }, "select")));
  const fields = make("tr", { class: "wbc-filters" });
  const everything = make("input", { type: "checkbox", "aria-label": `select all ${label} that are found` });
  fields.append(make("td", {}, everything));
  const filters = columns.map((column, index) => {
    const name = [column.group, column.title].filter(Boolean).join(", ");
    const button = make("button", { type: "button", title: `sort by ${name}` }, column.title,
      make("span", { class: "wbc-arrow", "aria-hidden": "true" }));
    button.addEventListener("click", () => {
      sign = by === index ? -sign : 1;
      by = index;
      sort();
      arrange();
    });
    heads.append(make("th", { scope: "col", "aria-sort": "none", class: `wbc-${column.kind}` }, button));
    const filter = filterOf(column, name);
    fields.append(make("td", {}, ...Object.values(filter)));
    return filter;
  });
  for (let i = 0; i < columns.length;) { // one cell above all columns of a model
    let end = i + 1;
    while (end < columns.length && columns[end].group === columns[i].group && columns[i].group) end++;
    groups.append(make("th", { scope: "colgroup", colSpan: end - i }, columns[i].group));
    i = end;
  }
  const body = make("tbody");
  const more = make("button", { type: "button", class: "wbc-more" });
  more.addEventListener("click", () => { limit += STEP; arrange(); });
  const table = make("table", {}, make("thead", {}, groups, heads, fields), body);
  const scroll = make("div", { class: "wbc-scroll", tabIndex: 0, role: "region",
    "aria-label": `${label}, their numbers and answers` }, table);

  const rows = new Map(), boxes = new Map();
  function rowOf(index) {
    if (rows.has(index)) return rows.get(index);
    const box = make("input", { type: "checkbox", "aria-label": `select prompt ${index + 1}` });
    box.addEventListener("change", () => {
      chosen[box.checked ? "add" : "delete"](index);
      tell();
    });
    const row = make("tr", { "data-place": String(places[index]) }, make("td", {}, box));
    columns.forEach((column, at) => {
      const value = column.values[index];
      if (at === 0) {
        const button = make("button", { type: "button", "aria-expanded": "false", class: "wbc-open" }, value);
        button.addEventListener("click", () => toggle(index, button));
        row.append(make("th", { scope: "row" }, button));
      } else {
        const cell = make("td", { class: `wbc-${column.kind}` });
        cell.textContent = column.kind === "number" ? number(value) : value;
        row.append(cell);
      }
    });
    rows.set(index, row);
    boxes.set(index, box);
    return row;
  }

  function toggle(index, button) {
    if (open.has(index)) {
      open.get(index).remove();
      open.delete(index);
    } else {
      open.set(index, detail(index));
      rowOf(index).after(open.get(index));
      opened(places[index]);
    }
    button.setAttribute("aria-expanded", String(open.has(index)));
  }

  function detail(index) {
    const panes = names.map((name, model) => {
      const text = make("p");
      for (const [tag, part] of answers[index][model]) text.append(tag ? make(tag, {}, part) : part);
      if (!texts[index][model]) text.append(make("i", {}, "(empty)"));
      const cut = cuts[index][model];
      const note = cut ? [make("small", {}, `cut at ${cut} tokens`)] : [];
      return make("section", {}, make("h4", {}, name), text, ...note);
    });
    const cell = make("td", { colSpan: columns.length + 1 }, make("div", { class: "wbc-panes" }, ...panes));
    return make("tr", { class: "wbc-detail" }, cell);
  }

  function sort() {
    const values = columns[by].values;
    const fixed = value => typeof value === "string" ? value.toLowerCase() : value;
    order.sort((a, b) => {
      const x = fixed(values[a]), y = fixed(values[b]);
      if (x === null || y === null) return (x === null) - (y === null); // missing numbers come last
      return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
    });
    heads.querySelectorAll("th[aria-sort]").forEach((head, index) => {
      const direction = sign > 0 ? "ascending" : "descending";
      head.setAttribute("aria-sort", index === by ? direction : "none");
    });
  }

  function arrange() {
    const wanted = search.value.toLowerCase();
    const tests = columns.map((column, index) => test(column, filters[index])).filter(Boolean);
    if (wanted) tests.push(row => searched[row].includes(wanted));
    if (differing.checked) tests.push(row => new Set(texts[row]).size > 1);
    found = order.filter(row => tests.every(one => one(row)));
    const shown = found.slice(0, limit).flatMap(row =>
      open.has(row) ? [rowOf(row), open.get(row)] : [rowOf(row)]);
    body.replaceChildren(...shown);
    more.hidden = found.length <= limit;
    more.textContent = `Show ${Math.min(STEP, found.length - limit)} more`;
    tell();
  }

  function tell() {
    for (const [index, box] of boxes) box.checked = chosen.has(index);
    everything.checked = found.length > 0 && found.every(row => chosen.has(row));
    const selected = chosen.size ? `, ${chosen.size} selected` : "";
    status.textContent = `${found.length} of ${count} ${label}${selected}`;
    saving.querySelectorAll("button").forEach(button => { button.disabled = !chosen.size; });
  }

  everything.addEventListener("change", () => {
    for (const row of found) chosen[everything.checked ? "add" : "delete"](row);
    tell();
  });
  clear.addEventListener("click", () => {
    for (const field of [search, ...filters.flatMap(Object.values)]) field.value = "";
    differing.checked = false;
    arrange();
  });

  const saving = savingBar();
  function savingBar() {
    const judged = data.winners.length > 0;
    const pick = (name, first) => make("select", { "aria-label": name },
      ...(judged ? [first] : []).concat(names).map(value => make("option", { value }, value)));
    const better = pick("chosen answer", "winner"), worse = pick("rejected answer", "loser");
    if (!judged) better.selectedIndex = names.length - 1;
    const request = kind => () => {
      const wanted = order.filter(row => chosen.has(row)).map(row => places[row]);
      const said = save({ kind, chosen: better.value, rejected: worse.value, places: wanted }, pairsOf);
      if (said) status.textContent = said;
    };
    const prompts = make("button", { type: "button" }, "Save as prompts");
    const pairs = make("button", { type: "button" }, "Save as pairs");
    prompts.addEventListener("click", request("prompts"));
    pairs.addEventListener("click", request("pairs"));
    return make("div", { class: "wbc-bar" }, "selected rows: ", prompts, pairs,
      make("label", {}, "chosen ", better), make("label", {}, "rejected ", worse));
  }

  // The selection as rows of JSONL, for a page without a kernel.
  function pairsOf({ kind, chosen: better, rejected: worse, places: wanted }) {
    const indices = wanted.map(place => places.indexOf(place));
    if (kind === "prompts") return [...new Set(indices.map(i => columns[0].values[i]))].map(prompt => ({ prompt }));
    const text = (index, who) => {
      const name = who === "winner" ? data.winners[index] : who === "loser" ? data.losers[index] : who;
      return texts[index][names.indexOf(name)] ?? "";
    };
    return indices.map(i => ({ prompt: columns[0].values[i], chosen: text(i, better), rejected: text(i, worse) }))
      .filter(pair => pair.chosen.trim() && pair.rejected.trim() && pair.chosen !== pair.rejected);
  }

  root.classList.add("wb-comparison");
  root.addEventListener("keydown", event => event.stopPropagation());
  root.addEventListener("input", event => {
    if (bar.contains(event.target) || (fields.contains(event.target) && event.target !== everything)) {
      limit = STEP;
      arrange();
    }
  });
  root.replaceChildren(bar, scroll, more, ...(count ? [saving] : []));
  arrange();
}

function filterOf(column, name) {
  if (column.kind === "number") {
    const bound = (end, hint) => make("input", { type: "number", step: "any", placeholder: hint,
      "aria-label": `${name}, ${end}` });
    return { low: bound("at least", "min"), high: bound("at most", "max") };
  }
  if (column.kind === "choice") {
    const values = [...new Set(column.values)].sort();
    return { choice: make("select", { "aria-label": name }, make("option", { value: "" }, "all"),
      ...values.map(value => make("option", { value: `=${value}` }, value || "none"))) };
  }
  return { text: make("input", { type: "search", placeholder: "contains", "aria-label": `${name} contains` }) };
}

export default {
  render({ model, el }) {
    const note = make("p", { class: "wbc-note", role: "status" }), root = make("div");
    model.on("msg:custom", message => { note.textContent = message.text; });
    build(root, model.get("data"), {
      opened: place => model.send({ open: place }),
      save: request => { model.send({ save: request }); },
    });
    el.append(root, note);
  },
};
