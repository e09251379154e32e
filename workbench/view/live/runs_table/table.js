// Draws the rows that the kernel sends and asks it for actions. Texts are set by textContent only.
const COLUMNS = [
  ["method", "method"], ["settings", "settings that differ"], ["steps", "steps"],
  ["accuracy", "accuracy"], ["kl", "KL"], ["reward", "true reward"], ["state", "state"],
];
const ACTIONS = [
  ["answers", "Answers", "reference and this run answer, in the comparison"],
  ["branch", "Branch", "a copy that goes on from the newest checkpoint"],
  ["follow", "Follow", "see it grow, and change its settings, while another process trains it"],
  ["go_on", "Go on", "train on from the newest checkpoint"],
  ["rename", "Rename", "give the run and its folder another name"],
  ["delete", "Delete", "delete the run and its folder"],
];

function element(kind, text = "", attributes = {}) {
  const made = document.createElement(kind);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function swatch(row) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const put = (node, values) => {
    for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
  };
  put(svg, { width: 34, height: 12, "aria-hidden": "true" });
  put(line, { x1: 1, x2: 33, y1: 6, y2: 6, "stroke-width": 3, class: "wb-run-line",
    style: `--light: ${row.colour}; --dark: ${row.dark}`, "stroke-dasharray": row.dash });
  svg.append(line);
  return svg;
}

function render({ model, el }) {
  const selected = new Set();
  let open = null; // the row that asks: {name, kind: "rename" or "delete", text}

  const send = (action, values) => model.send({ action, ...values });

  function button(text, title, label, act, enabled = true) {
    const made = element("button", text, { type: "button", title, "aria-label": label });
    made.disabled = !enabled;
    made.addEventListener("click", act);
    return made;
  }

  function box(label, checked, act, enabled = true) {
    const made = element("input", "", { type: "checkbox", "aria-label": label });
    made.checked = checked;
    made.disabled = !enabled;
    made.addEventListener("change", () => act(made.checked));
    return made;
  }

  function asking(row) {
    const cell = element("td", "", { colspan: COLUMNS.length + 4 });
    const close = () => { open = null; draw(); };
    if (open.kind === "delete") {
      const question = row.folder ? `Delete ${row.name} and its folder ${row.folder}?`
        : `Delete ${row.name}?`;
      const yes = button("Delete", question, `Delete ${row.name} now`,
        () => { open = null; send("delete", { name: row.name }); draw(); });
      cell.append(element("span", question), yes, button("Keep", "", `Keep ${row.name}`, close));
      queueMicrotask(() => yes.focus());
    } else {
      const field = element("input", "", { type: "text", "aria-label": `new name of ${row.name}` });
      field.value = open.text ?? row.name;
      const save = () => {
        open = null;
        send("rename", { name: row.name, to: field.value });
        draw();
      };
      field.addEventListener("input", () => { open.text = field.value; });
      field.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Enter") save();
        if (event.key === "Escape") close();
      });
      cell.append(field, button("Save", "", `Save the new name of ${row.name}`, save),
        button("Cancel", "", `Keep the name ${row.name}`, close));
      queueMicrotask(() => field.focus());
    }
    const line = element("tr", "", { class: "wb-run-asking" });
    line.append(cell);
    return line;
  }

  function acts(row) {
    const cell = element("td", "", { class: "wb-run-actions" });
    for (const [action, text, title] of ACTIONS) {
      if (!row.can.includes(action)) continue;
      const ask = () => { open = { name: row.name, kind: action }; draw(); };
      const act = action === "rename" || action === "delete" ? ask
        : () => send(action, { name: row.name });
      cell.append(button(text, title, `${text} ${row.name}`, act));
    }
    return cell;
  }

  function line(row) {
    const made = element("tr", "", { "data-name": row.name, "data-state": row.state });
    const pick = element("td");
    pick.append(box(`select ${row.name}`, selected.has(row.name), (checked) => {
      checked ? selected.add(row.name) : selected.delete(row.name);
      draw();
    }, row.can.includes("answers")));
    const eye = element("td");
    eye.append(box(`show the curves of ${row.name}`, row.shown,
      (shown) => send("show", { name: row.name, shown }), row.can.includes("show")));
    const name = element("th", "", { scope: "row", title: row.folder || "not kept in a folder" });
    if (row.colour) name.append(swatch(row));
    name.append(element("span", row.name));
    made.append(pick, eye, name);
    if (row.problem) {
      made.append(element("td", row.problem, { colspan: COLUMNS.length, class: "wb-run-problem" }));
    } else {
      for (const [key] of COLUMNS) made.append(element("td", row[key], { class: `wb-run-${key}` }));
    }
    made.append(acts(row));
    return made;
  }

  function draw() {
    const rows = model.get("rows"), refusals = model.get("refusals");
    const focused = el.contains(document.activeElement)
      ? document.activeElement.getAttribute("aria-label") : null;
    const names = new Set(rows.map((row) => row.name));
    for (const name of [...selected]) if (!names.has(name)) selected.delete(name);
    const head = element("tr");
    for (const title of ["select", "show", "run", ...COLUMNS.map((one) => one[1]), "actions"]) {
      head.append(element("th", title, { scope: "col" }));
    }
    const top = element("thead"), body = element("tbody");
    top.append(head);
    for (const row of rows) {
      body.append(line(row));
      if (open?.name === row.name) body.append(asking(row));
      if (refusals[row.name]) {
        const told = element("tr", "", { class: "wb-run-refusal", role: "alert" });
        told.append(element("td", refusals[row.name], { colspan: COLUMNS.length + 4 }));
        body.append(told);
      }
    }
    const table = element("table", "", { class: "wb-runs-of-dashboard" });
    table.append(element("caption", "Runs"), top, body);
    const scroll = element("div", "", { class: "wb-run-scroll", tabindex: "0", role: "region",
      "aria-label": "table of runs" });
    scroll.append(table);
    const chosen = rows.filter((row) => selected.has(row.name)).map((row) => row.name);
    const foot = element("div", "", { class: "wb-run-foot" });
    foot.append(button("Compare answers", "select two runs or more", "Compare the selected runs",
      () => send("compare", { names: chosen }), chosen.length > 1),
    element("span", chosen.length > 1 ? `${chosen.length} runs selected`
      : "Select two runs or more to compare their answers."));
    el.replaceChildren(...(rows.length ? [scroll, foot] : []));
    if (focused && !open) {
      [...el.querySelectorAll("[aria-label]")]
        .find((one) => one.getAttribute("aria-label") === focused)?.focus();
    }
  }

  el.addEventListener("keydown", (event) => event.stopPropagation());
  model.on("change:rows", () => { if (open?.kind !== "rename") draw(); });
  model.on("change:refusals", draw);
  draw();
}

export default { render };
