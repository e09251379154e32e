"""Style sheet and script of the page that `page.py` writes, each let through by its hash alone."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --text: #1f1f1f; --quiet: #5f5f5f; --line: #d9d9d9; --raised: #f6f6f6;
  --only-left: #D55E00; --only-right: #0072B2;
  --left: rgba(213, 94, 0, 0.14); --right: rgba(0, 114, 178, 0.16);
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #16181b; --text: #e6e6e6; --quiet: #a3a3a3; --line: #3a3d42; --raised: #1e2125;
    --only-left: #ff9a57; --only-right: #6cb8ee;
    --left: rgba(255, 154, 87, 0.18); --right: rgba(108, 184, 238, 0.20);
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 28px 24px 60px; max-width: 1180px;
  color: var(--text); background: var(--ground);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 34px 0 10px; }
p { margin: 0 0 10px; }
small, .quiet, caption, summary { color: var(--quiet); }
small { font-size: 12.5px; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 6px 14px 6px 0; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { color: var(--quiet); font-weight: 600; font-size: 13px; }
tr { border-bottom: 1px solid var(--line); }
.numbers td, .numbers thead th + th, .wb-means td, .wb-means thead th + th {
  text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal;
}
tbody th { font-weight: 400; }
.wb-answers { width: 100%; table-layout: fixed; }
.wb-answers th:first-child { width: 18%; }
.wb-answers thead th { position: sticky; top: 0; background: var(--ground); }
.wb-answers td { padding: 10px 18px 10px 0; }
del, ins { border-radius: 2px; }
del { text-decoration: underline dotted 2px var(--only-left); background: var(--left); }
ins { text-decoration: underline solid 2px var(--only-right); background: var(--right); }
form {
  display: flex; flex-wrap: wrap; gap: 10px 18px; align-items: center; margin: 14px 0 10px;
  padding: 10px 14px; background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
}
form label { display: flex; align-items: center; gap: 7px; }
select, input[type=search] {
  font: inherit; color: inherit; background: var(--ground); padding: 3px 8px;
  border: 1px solid var(--line); border-radius: 5px; max-width: 220px;
}
:focus-visible { outline: 2px solid var(--only-right); outline-offset: 1px; }
output { margin-left: auto; color: var(--quiet); }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
details { margin: 10px 0; }
summary { cursor: pointer; }
.two { display: flex; flex-wrap: wrap; gap: 0 60px; }
@media (max-width: 640px) { .wb-answers { min-width: 600px; } }
@media print { form { display: none; } tr { break-inside: avoid; } }
"""

SCRIPT = """
"use strict";
const form = document.querySelector("form");
const body = document.querySelector(".wb-answers tbody");
const rows = [...body.rows];
const part = name => form.elements.namedItem(name);

function key(row) {
  const sort = part("sort").value, of = part("of").value;
  if (sort === "as asked") return Number(row.dataset.place);
  const texts = [...row.querySelectorAll("bdi")].map(cell => cell.textContent.toLowerCase());
  if (sort === "prompt") return texts[0];
  const change = of === "change", place = change ? -1 : Number(of);
  if (sort === "text") return texts.slice(1).at(place);
  const values = JSON.parse(row.dataset.numbers)[sort];
  if (!change) return values.at(place);
  return values.includes(null) ? null : values.at(-1) - values[0];
}

function arrange() {
  const wanted = part("contains").value.toLowerCase(), differs = part("differs").checked;
  const turn = part("descending").checked ? -1 : 1;
  const keys = new Map(rows.map(row => [row, key(row)]));
  const order = (a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === null || y === null) return (x === null) - (y === null);  // what misses comes last
    return turn * (x < y ? -1 : x > y ? 1 : 0);
  };
  body.append(...[...rows].sort(order));
  for (const row of rows) {
    const texts = [...row.querySelectorAll("bdi")].map(cell => cell.textContent.toLowerCase());
    const found = texts.some(text => text.includes(wanted));
    row.hidden = !found || (differs && row.dataset.differs !== "1");
  }
  const shown = rows.filter(row => !row.hidden).length;
  form.querySelector("output").textContent = `${shown} of ${rows.length} prompts`;
}

form.addEventListener("input", arrange);
form.addEventListener("submit", event => event.preventDefault());
arrange();
"""
