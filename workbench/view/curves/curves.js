// The widget on the page. It draws no more than `SHARE` of the time, as it measures it itself, and
// only panels that are on the screen and have new points; when the stream pauses, at once.
const SHARE = 0.03, SHORTEST = 200, PAUSE = 500; // share of the time; milliseconds
const REMEMBERED = 8; // frames; the quickest of them was the least interrupted by other programs
const AGAIN = 1000; // milliseconds until the kernel is asked for the second time, then doubled
const page = (globalThis.workbenchCurves ??= { asked: 0, waiting: [] });

function withPlotly(callback) {
  if (page.plotly) callback(page.plotly);
  else page.waiting.push(callback);
}

// Run plotly's source once per page; another plotly that the page has stays its own.
function takePlotly(source) {
  if (page.plotly || page.loading) return;
  page.loading = true;
  const before = globalThis.Plotly;
  const script = document.createElement("script");
  script.src = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  script.onload = () => {
    URL.revokeObjectURL(script.src);
    page.plotly = globalThis.Plotly;
    if (before) globalThis.Plotly = before;
    page.waiting.splice(0).forEach(callback => callback(page.plotly));
  };
  document.head.append(script);
}

function themeOf(element) {
  const style = getComputedStyle(element);
  const value = name => style.getPropertyValue(name).trim();
  const ground = style.backgroundColor;
  const [r, g, b] = (ground.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return {
    dark: 0.3 * r + 0.6 * g + 0.1 * b < 128, ground, text: style.color, font: style.fontFamily,
    quiet: value("--wb-curve-quiet"), line: value("--wb-curve-line"),
  };
}

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children); // strings become text, never HTML
  return node;
}

class CurvesView {
  constructor(store, element) {
    [this.store, this.panels, this.dirty] = [store, new Map(), new Set()];
    this.look = { smoothing: 0, log: false, hidden: new Set() };
    [this.costs, this.next, this.latest] = [[], 0, 0]; // milliseconds
    this.root = made("div", { class: "wb-curves-root", onkeydown: event => event.stopPropagation() });
    this.legend = made("div", { class: "wb-curves-legend", role: "group", "aria-label": "runs" });
    this.grid = made("div", { class: "wb-curves-grid" });
    this.tip = made("div", { class: "wb-curves-tip", hidden: "" });
    this.root.append(this.toolbar(), this.grid, this.tip);
    element.append(this.root);
    this.onscreen = new IntersectionObserver(entries => {
      for (const { target, isIntersecting } of entries) target.seen = isIntersecting;
      this.schedule();
    });
    this.sizes = new ResizeObserver(() => this.all());
    this.sizes.observe(this.root);
    this.themes = new MutationObserver(() => this.restyle());
    const attributes = { attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"] };
    this.themes.observe(document.body, { attributes: true, ...attributes });
    withPlotly(plotly => { this.plotly = plotly; this.restyle(); });
    this.takeLayout();
  }

  toolbar() {
    const button = (name, act, more = {}) => made("button", { type: "button", ...more, onclick: act }, name);
    const said = made("output", {}, "0");
    const slider = made("input", {
      type: "range", min: 0, max: 0.98, step: 0.02, value: 0, "aria-label": "smoothing",
      oninput: () => {
        this.look.smoothing = Number(slider.value);
        said.textContent = slider.value;
        this.all(true);
      },
    });
    const log = button("log scale", () => {
      this.look.log = !this.look.log;
      log.setAttribute("aria-pressed", this.look.log);
      this.all(true);
    }, { "aria-pressed": "false" });
    return made("div", { class: "wb-curves-bar" }, this.legend,
      made("label", {}, "smoothing", slider, said), log,
      button("reset zoom", () => this.resetZoom()),
      button("PNG", () => this.save("png"), { "aria-label": "save as PNG" }),
      button("SVG", () => this.save("svg"), { "aria-label": "save as SVG" }),
      button("CSV", () => this.save("csv"), { "aria-label": "save points as CSV" }));
  }

  // -- what the kernel says ------------------------------------------------------------------

  takeLayout() {
    const { panels } = this.store.layout;
    for (const panel of panels) if (!this.panels.has(panel.name)) this.addPanel(panel.name);
    for (const [name, { figure }] of this.panels) {
      if (panels.some(panel => panel.name === name)) continue;
      this.onscreen.unobserve(figure);
      this.plotly?.purge(figure.plot);
      figure.remove();
      this.panels.delete(name);
    }
    for (const panel of panels) {
      const entry = this.panels.get(panel.name);
      entry.panel = panel;
      this.grid.append(entry.figure);
    }
    this.writeWords();
    for (const entry of this.panels.values()) this.speak(entry);
    this.all();
  }

  addPanel(name) {
    const [title, unit, key, plot] = ["b", "span", "span", "div"].map(tag => made(tag));
    [unit.className, key.className, plot.className] = ["wb-unit", "wb-key", "wb-plot"];
    const figure = made("div", { class: "wb-panel", role: "img", "data-panel": name },
      made("div", { class: "wb-panel-head" }, title, unit, key), plot);
    Object.assign(figure, { plot, seen: true });
    plot.addEventListener("mouseleave", () => (this.tip.hidden = true));
    this.onscreen.observe(figure);
    this.panels.set(name, { figure, title, unit, key });
  }

  takePoints(metrics, anew) {
    this.latest = performance.now();
    for (const [name, { panel }] of this.panels)
      if (anew || panel.quantities.flatMap(metricsOf).some(metric => metrics.has(metric)))
        this.dirty.add(name);
    for (const name of this.dirty) { // what is off the screen is not drawn
      const entry = this.panels.get(name);
      if (entry && !entry.figure.seen) this.speak(entry);
    }
    this.schedule();
  }

  // -- words around the panels ---------------------------------------------------------------

  writeWords() {
    const theme = (this.theme = themeOf(this.root));
    const { runs } = this.store.layout;
    const several = runs.length > 1;
    for (const { panel, title, unit, key } of this.panels.values()) {
      [title.textContent, unit.textContent] = [panel.title, panel.unit];
      key.replaceChildren(...panel.quantities.map((quantity, index) => {
        const ink = several ? theme.text : inkOf(null, quantity, theme, false);
        const lengths = several && runs[0].dashes[index] ? runs[0].dashes[index] : [];
        return quantity.name && made("span", {}, stroke(ink, lengths), quantity.name);
      }).filter(Boolean));
    }
    this.legend.replaceChildren(...(several ? runs : []).map(run => made("button", {
      type: "button", "aria-pressed": !this.look.hidden.has(run.key), title: "show or hide this run",
      onclick: () => {
        const { hidden } = this.look;
        if (!hidden.delete(run.key)) hidden.add(run.key);
        const index = this.store.layout.runs.findIndex(other => other.key === run.key);
        this.writeWords();
        this.legend.children[index].focus();
        this.all(true);
      },
    }, stroke(inkOf(run, null, theme, true), run.dashes[0]), run.name)));
  }

  // -- drawing -------------------------------------------------------------------------------

  restyle() {
    this.writeWords();
    this.all(true);
  }

  all(atOnce = false) {
    for (const name of this.panels.keys()) this.dirty.add(name);
    if (atOnce) this.next = 0;
    this.schedule(atOnce);
  }

  schedule(atOnce = false) {
    if (!this.plotly || !this.dirty.size || this.drawing || (this.timer && !atOnce)) return;
    clearTimeout(this.timer);
    const now = performance.now();
    const quiet = Math.max(0, this.latest + PAUSE - now); // when the stream has paused by then
    this.timer = setTimeout(() => this.frame(), Math.min(Math.max(0, this.next - now), quiet));
  }

  frame() {
    this.timer = null;
    const now = performance.now();
    if (now < this.next && now < this.latest + PAUSE) return this.schedule();
    const names = [...this.dirty].filter(name => this.panels.get(name)?.figure.seen);
    if (!names.length || !this.root.clientWidth) return;
    this.drawing = true; // a page in the background draws once it is looked at
    requestAnimationFrame(() => {
      const begin = performance.now();
      for (const name of names) this.draw(name);
      const after = new MessageChannel(); // after the browser has laid out and painted
      after.port1.onmessage = () => {
        after.port1.close();
        this.drawn((performance.now() - begin) / names.length, names.length);
      };
      after.port2.postMessage(null);
    });
  }

  // Wait for as long as the frame, of `count` panels at `cost` milliseconds each, has used up.
  drawn(cost, count) {
    this.costs = [...this.costs, cost].slice(-REMEMBERED);
    const whole = count * Math.min(...this.costs);
    this.next = performance.now() + Math.max(SHORTEST, whole / SHARE);
    this.root.dataset.cost = whole.toFixed(1);
    this.drawing = false;
    this.schedule();
  }

  draw(name) {
    this.dirty.delete(name);
    const entry = this.panels.get(name);
    if (!entry) return;
    const { panel, figure } = entry;
    const traces = tracesOf(panel, this.store, this.look, this.theme);
    const size = { width: figure.plot.clientWidth, height: figure.plot.clientHeight };
    const layout = layoutOf(panel, traces, this.store, this.look, this.theme, size);
    const config = { displayModeBar: false, doubleClick: "reset", showTips: false };
    const first = !figure.plot.data;
    this.plotly.react(figure.plot, traces, layout, config);
    if (first) {
      figure.plot.on("plotly_hover", event => this.hover(entry, event));
      figure.plot.on("plotly_unhover", () => (this.tip.hidden = true));
    }
    this.speak(entry);
  }

  speak({ panel, figure }) {
    const curves = curvesOf(panel, this.store, this.look, this.theme);
    figure.setAttribute("aria-label", spoken(panel, curves));
  }

  // -- what a person does --------------------------------------------------------------------

  hover({ panel, figure }, { xvals, event }) {
    const step = xvals[0];
    const rows = curvesOf(panel, this.store, this.look, this.theme).flatMap(curve => {
      const at = nearest(curve.x, step);
      if (at < 0 || Number.isNaN(curve.y[at])) return [];
      const words = [this.store.layout.runs.length > 1 ? curve.run.name : "", curve.quantity.name];
      const what = [...words, curve.held ? "held out" : "batch"].filter(Boolean).join(" · ");
      const when = `step ${Math.round(curve.x[at])}`;
      return [made("tr", {}, made("td", {}, stroke(curve.ink, [])), made("td", {}, what),
        made("td", { class: "wb-value" }, curve.y[at].toPrecision(4)), made("td", {}, when))];
    });
    this.tip.replaceChildren(made("table", {}, ...rows));
    this.tip.hidden = !rows.length;
    const [box, inner] = [this.root.getBoundingClientRect(), figure.plot.getBoundingClientRect()];
    const right = event.clientX - box.left + 16;
    const fits = right + this.tip.offsetWidth < box.width;
    const left = event.clientX - box.left - this.tip.offsetWidth - 16;
    this.tip.style.left = `${fits ? right : Math.max(0, left)}px`;
    this.tip.style.top = `${inner.top - box.top}px`;
  }

  resetZoom() {
    for (const { figure, panel } of this.panels.values()) {
      if (!figure.plot.data) continue;
      const [x, y] = [{ "xaxis.autorange": true }, { "yaxis.autorange": true }];
      const room = panel.limits && 0.08 * (panel.limits[1] - panel.limits[0]);
      if (panel.limits)
        y["yaxis.range"] = [panel.limits[0] - room, panel.limits[1] + room];
      if (panel.limits) delete y["yaxis.autorange"];
      this.plotly.relayout(figure.plot, { ...x, ...y });
    }
  }

  async save(kind) {
    if (kind === "csv") {
      const text = this.store.csv(this.look.hidden);
      return download("curves.csv", new Blob([text], { type: "text/csv" }));
    }
    if (!this.plotly || !this.panels.size) return;
    for (const name of [...this.dirty]) this.draw(name);
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const panels = [...this.panels.values()].map(({ panel, figure }) =>
      ({ title: `${panel.title} (${panel.unit})`, plot: figure.plot }));
    const runs = this.store.layout.runs.filter(run => !this.look.hidden.has(run.key));
    const several = this.store.layout.runs.length > 1;
    const legend = several
      ? runs.map(run => ({ name: run.name, ink: inkOf(run, null, this.theme, true) })) : [];
    const svg = await asSvg(this.plotly, { columns, panels, legend }, this.theme);
    const svgBlob = () => new Blob([svg], { type: "image/svg+xml" });
    download(`curves.${kind}`, kind === "svg" ? svgBlob() : await asPng(svg));
  }

  close() {
    clearTimeout(this.timer);
    for (const observer of [this.onscreen, this.sizes, this.themes]) observer.disconnect();
    for (const { figure } of this.panels.values()) this.plotly?.purge(figure.plot);
  }
}

// A short piece of line, for keys.
function stroke(ink, lengths) {
  const mark = drawn("svg", { width: 18, height: 8, "aria-hidden": "true" });
  const dash = { "stroke-dasharray": lengths.map(length => length * 1.6).join(" ") };
  mark.append(drawn("line", { x1: 0, y1: 4, x2: 18, y2: 4, stroke: ink, "stroke-width": 2, ...dash }));
  return mark;
}

// Once per widget of the kernel; its views share the points.
export default () => {
  const store = new Store();
  const views = new Set();
  return {
    initialize({ model }) {
      const hello = ask(model);
      model.on("msg:custom", (content, buffers) => {
        if (content.kind === "heard") return hello.heard(content.id);
        if (content.kind === "plotly") return takePlotly(buffers[0]);
        if (content.kind === "layout") {
          store.layout = content;
          views.forEach(view => view.takeLayout());
        } else if (content.kind === "points") {
          const metrics = store.take(content, buffers[0]);
          views.forEach(view => view.takePoints(metrics, content.anew));
        }
      });
    },

    render({ el }) {
      const view = new CurvesView(store, el);
      views.add(view);
      return () => {
        views.delete(view);
        view.close();
      };
    },
  };
};

// All that the kernel has; and plotly, unless this page has asked for it a moment ago. Asked again
// until the kernel has heard it: JupyterLab sends what comes before the widget's own shell is there
// to the main one, where it waits for all cells that still run. The kernel answers an id once.
function ask(model) {
  const plotly = !page.plotly && Date.now() - page.asked > 20_000;
  if (plotly) page.asked = Date.now();
  const id = `${Date.now()}-${Math.random()}`;
  let timer, wait = AGAIN / 2;
  const send = () => {
    model.send({ kind: "hello", plotly, id });
    timer = setTimeout(send, wait *= 2);
  };
  send();
  return { heard: other => { if (other === id) clearTimeout(timer); } };
}
