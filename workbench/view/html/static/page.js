"use strict";
const form = document.querySelector("form");
const body = document.querySelector(".wb-answers tbody");
const rows = [...body.rows];
const part = name => form.elements.namedItem(name);

function key(row) {
  const sort = part("sort").value, of = part("of").value;
  if (sort === "as asked") return Number(row.dataset.index);
  const texts = [...row.querySelectorAll("bdi")].map(cell => cell.textContent.toLowerCase());
  if (sort === "prompt") return texts[0];
  const change = of === "change", model = change ? -1 : Number(of);
  if (sort === "text") return texts.slice(1).at(model);
  const values = JSON.parse(row.dataset.numbers)[sort];
  if (!change) return values.at(model);
  return values.includes(null) ? null : values.at(-1) - values[0];
}

function arrange() {
  const wanted = part("contains").value.toLowerCase(), differs = part("differs").checked;
  const sign = part("descending").checked ? -1 : 1;
  const keys = new Map(rows.map(row => [row, key(row)]));
  const order = (a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === null || y === null) return (x === null) - (y === null);  // missing numbers come last
    return sign * (x < y ? -1 : x > y ? 1 : 0);
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
