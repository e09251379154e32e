// The runs of a sweep: metric against KL, parallel coordinates, and a table from which runs are
// chosen to be compared. The same in a notebook and on a page. Every text is set by textContent.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [500, 300];
const EDGE = { left: 58, right: 16, top: 12, bottom: 40 };
const MANY = 10; // values of a setting that stand one above another; more lie on a scale

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, text) {
  const node = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  if (text !== undefined) node.textContent = text;
  return node;
}

function short(value) {
  if (value === null || value === undefined) return "–";
  const text = typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
  return text.replace(/^-/, "−");
}

function spoken(run, data) {
  const named = data.axes.map((axis, i) => `${axis.name} ${short(run.settings[i])}`);
  const found = run.metric === null ? run.state : `${data.metric} ${short(run.metric)}`;
  return [...named, found, `KL ${short(run.kl)}`].join(", ");
}

// Round numbers within a range.
function ticks(low, high, count = 5) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(part => part * power).find(part => part >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return found;
}

// Where values lie, 0 to 1, and what is written at which height: few settings one above another, at
// equal distances, and what was measured on a scale.
function scale({ values, log, measured }) {
  const known = [...new Set(values.filter(value => value !== null))];
  const words = known.some(value => typeof value !== "number");
  known.sort((a, b) => words ? (String(a) < String(b) ? -1 : 1) : a - b);
  if (!measured && (known.length <= MANY || words)) {
    const at = value => known.length < 2 ? 0.5 : known.indexOf(value) / (known.length - 1);
    return { at, ticks: known.map(value => [at(value), short(value)]) };
  }
  const bent = value => log ? Math.log(value) : value;
  const [low, high] = [bent(known[0]), bent(known.at(-1))];
  const at = value => (bent(value) - low) / (high - low);
  return { at, ticks: [known[0], known.at(-1)].map(value => [at(value), short(value)]) };
}

function frame(label) {
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
}

function stepped(points) {
  return points.map(([x, y], i) => i ? `H${x}V${y}` : `M${x},${y}`).join("");
}

// Classes by which a run looks the same in both drawings.
function look(run, data) {
  return [
    "ws-run", run.run === data.take && "ws-take", run.front && "ws-front",
    run.state === "finished" && run.within || "ws-hollow",
  ].filter(name => typeof name === "string").join(" ");
}

function scatter(data, runs) {
  const svg = frame(`${data.metric} against the KL of ${runs.length} runs`);
  const range = name => {
    const found = runs.map(run => run[name]), low = Math.min(...found), high = Math.max(...found);
    const room = 0.06 * (high - low || Math.abs(high) || 1);
    return [name === "kl" ? Math.min(0, low) : low - room, high + room];
  };
  const [left, right] = range("kl"), [low, high] = range("metric");
  const x = value => EDGE.left + (value - left) / (right - left) * (WIDTH - EDGE.left - EDGE.right);
  const y = value => HEIGHT - EDGE.bottom - (value - low) / (high - low) * (HEIGHT - EDGE.top - EDGE.bottom);
  for (const at of ticks(left, right)) {
    svg.append(draw("line", { class: "ws-grid", x1: x(at), x2: x(at), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
    svg.append(draw("text", { x: x(at), y: HEIGHT - EDGE.bottom + 16, "text-anchor": "middle" }, short(at)));
  }
  for (const at of ticks(low, high)) {
    svg.append(draw("line", { class: "ws-grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(at), y2: y(at) }));
    svg.append(draw("text", { x: EDGE.left - 6, y: y(at) + 4, "text-anchor": "end" }, short(at)));
  }
  svg.append(draw("text", { x: WIDTH - EDGE.right, y: HEIGHT - 6, "text-anchor": "end" },
    "KL(policy ‖ reference), nats per answer"));
  if (data.limit !== null && data.limit <= right) {
    svg.append(draw("line", { class: "ws-limit", x1: x(data.limit), x2: x(data.limit), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
    svg.append(draw("text", { x: x(data.limit) + 4, y: EDGE.top + 10 }, "limit"));
  }
  const front = data.front.map(number => runs.find(run => run.run === number)).filter(Boolean);
  svg.append(draw("path", { class: "ws-line", d: stepped(front.map(run => [x(run.kl), y(run.metric)])) }));
  const points = runs.map(run => {
    const point = draw("circle", { class: look(run, data), cx: x(run.kl), cy: y(run.metric), r: 5 });
    point.append(draw("title", {}, spoken(run, data)));
    svg.append(point);
    return [run.run, point];
  });
  return { svg, marks: points };
}

function coordinates(data, runs) {
  const svg = frame(`settings of ${runs.length} runs, and what they reach`);
  const columns = [
    ...data.axes.map((axis, i) => ({ ...axis, values: runs.map(run => run.settings[i]) })),
    { name: "KL", measured: true, values: runs.map(run => run.kl) },
    { name: data.metric, measured: true, values: runs.map(run => run.metric) },
  ].filter(({ values }) => new Set(values).size > 1);
  const room = HEIGHT - EDGE.top - EDGE.bottom;
  const x = index => 34 + index * (WIDTH - 34 - 64) / Math.max(columns.length - 1, 1);
  const y = share => HEIGHT - EDGE.bottom - share * room;
  const scales = columns.map(scale);
  const lines = runs.map((run, row) => {
    const points = columns.flatMap(({ values }, i) =>
      values[row] === null ? [] : [`${x(i)},${y(scales[i].at(values[row]))}`]);
    const line = draw("polyline", { class: look(run, data), points: points.join(" ") });
    line.append(draw("title", {}, spoken(run, data)));
    svg.append(line);
    return [run.run, line];
  });
  columns.forEach(({ name }, i) => {
    svg.append(draw("line", { class: "ws-axis", x1: x(i), x2: x(i), y1: y(1), y2: y(0) }));
    for (const [share, text] of scales[i].ticks) {
      svg.append(draw("text", { class: "ws-tick", x: x(i) + 4, y: y(share) + 4 }, text));
    }
    const anchor = i === columns.length - 1 ? "end" : i ? "middle" : "start";
    const at = i === columns.length - 1 ? WIDTH - 4 : i ? x(i) : 4;
    svg.append(draw("text", { class: "ws-name", x: at, y: HEIGHT - (i % 2 ? 6 : 20), "text-anchor": anchor }, name));
  });
  return { svg, marks: lines };
}

// The table of runs; `chosen` holds the numbers of those that are to be compared.
function table(data, chosen, changed) {
  const titles = ["run", ...data.axes.map(axis => axis.name), "state", "step", data.metric, "KL", "seconds"];
  const valueOf = (run, i) => [run.run, ...run.settings, run.state, run.step, run.metric, run.kl, run.seconds][i];
  const body = make("tbody"), rows = new Map();
  let by = titles.indexOf(data.metric), sign = data.upwards ? -1 : 1;
  for (const run of data.runs) {
    const box = make("input", { type: "checkbox", "aria-label": `compare run ${run.run}` });
    box.checked = chosen.has(run.run);
    box.addEventListener("change", () => {
      chosen[box.checked ? "add" : "delete"](run.run);
      changed();
    });
    const cells = titles.map((title, i) => {
      const cell = make("td", {}, short(valueOf(run, i)));
      if (title === "state" && run.reason) cell.append(make("small", {}, ` ${run.reason}`));
      if (title === "KL" && !run.within) cell.append(make("small", {}, " beyond the limit"));
      return cell;
    });
    rows.set(run.run, make("tr", { title: run.name }, make("td", {}, box), ...cells));
  }
  const heads = titles.map((title, i) => {
    const button = make("button", { type: "button", title: `sort by ${title}` }, title);
    button.addEventListener("click", () => {
      sign = by === i ? -sign : 1;
      by = i;
      sort();
    });
    return make("th", { scope: "col" }, button);
  });
  function sort() {
    const compared = (a, b) => {
      const [left, right] = [valueOf(a, by), valueOf(b, by)];
      if (left === null || right === null) return (left === null) - (right === null);
      return left === right ? a.run - b.run : sign * (left < right ? -1 : 1);
    };
    body.replaceChildren(...[...data.runs].sort(compared).map(run => rows.get(run.run)));
    heads.forEach((head, i) =>
      head.setAttribute("aria-sort", i !== by ? "none" : sign > 0 ? "ascending" : "descending"));
  }
  sort();
  const head = make("tr", {}, make("th", { scope: "col" }, "compare"), ...heads);
  return { node: make("table", {}, make("thead", {}, head), body), rows: [...rows] };
}

function command(data, chosen) {
  const quoted = text => /^[\w.,=/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const folders = data.runs.filter(run => chosen.has(run.run)).map(run => quoted(run.folder));
  return `python -m workbench compare ${folders.join(" ")} --html comparison.html`;
}

// `compare` opens the chosen runs; without it the command that does is shown.
export function buildSweep(root, data, { compare, refresh } = {}) {
  const weight = run => 2 * (run.run === data.take) + run.front; // drawn last, what stands out
  const measured = data.runs.filter(run => run.metric !== null).sort((a, b) => weight(a) - weight(b));
  const chosen = new Set(data.take === null ? [] : [data.take]);
  const take = data.runs.find(run => run.run === data.take);
  const said = make("p", { class: "ws-said" }, take
    ? `Take ${take.name}: ${data.metric} ${short(take.metric)}, KL ${short(take.kl)}.`
    : "No run has finished within the limits yet.");
  const under = measured.filter(run => run.kl !== null);
  const drawings = [under.length && scatter(data, under), measured.length && coordinates(data, measured)].filter(Boolean);
  const code = make("code"), open = make("button", { type: "button" });
  const bar = make("div", { class: "ws-bar" }, open, code);
  const { node, rows } = table(data, chosen, () => show());
  if (refresh) {
    const again = make("button", { type: "button" }, "Refresh");
    again.addEventListener("click", refresh);
    bar.append(again);
  }
  const marks = new Map(data.runs.map(run => [run.run, []]));
  for (const [number, mark] of [...drawings.flatMap(one => one.marks), ...rows]) {
    marks.get(number).push(mark);
    mark.addEventListener("pointerenter", () => point(number, true));
    mark.addEventListener("pointerleave", () => point(number, false));
  }
  for (const [number, mark] of drawings.flatMap(one => one.marks)) {
    mark.addEventListener("click", () => rows.find(([n]) => n === number)[1].querySelector("input").click());
  }
  function point(number, on) {
    marks.get(number).forEach(mark => mark.classList.toggle("ws-pointed", on));
  }
  function show() {
    const count = chosen.size;
    for (const [number, found] of marks) found.forEach(mark => mark.classList.toggle("ws-chosen", chosen.has(number)));
    open.disabled = !count;
    open.textContent = compare ? `Compare the answers of ${count} chosen` : "Copy the command";
    code.textContent = compare || !count ? "" : command(data, chosen);
  }
  open.addEventListener("click", () => compare ? compare([...chosen]) : navigator.clipboard.writeText(code.textContent));
  const heading = text => make("h3", {}, text);
  const titles = [...(under.length ? [`${data.metric} against KL; line: not surpassed in both`] : []), "Settings, KL and metric of every run"];
  root.classList.add("wb-sweep-runs");
  root.replaceChildren(said,
    make("div", { class: "ws-drawings" }, ...drawings.map(({ svg }, i) => make("section", {}, heading(titles[i]), svg))),
    bar, make("div", { class: "ws-scroll", tabindex: "0", role: "region", "aria-label": "runs" }, node));
  show();
}

export default {
  render({ model, el }) {
    const root = make("div");
    const build = () => buildSweep(root, model.get("data"), {
      compare: runs => model.send({ compare: runs }),
      refresh: () => model.send({ refresh: true }),
    });
    model.on("change:data", build);
    build();
    el.append(root);
  },
};
