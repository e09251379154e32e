// The panels as plotly's traces and layouts. `look` is what a person has set: {smoothing, log,
// hidden}; `theme` the colours of the page.
const SHORT = 100; // steps; a longer run shows first an eighth of its axis, then a quarter, ...
const UNKNOWN = 10; // steps of the axis before the first step tells how many there are

function inkOf(run, quantity, theme, several) {
  const source = several ? run : quantity;
  return theme.dark ? source.dark : source.colour;
}

function dashed(lengths, width) {
  return lengths.length ? lengths.map(length => `${length * width}px`).join(",") : "solid";
}

// The curves of a panel: {run, quantity, index, metric, held, ink, x, y}.
function curvesOf(panel, store, look, theme) {
  const { runs } = store.layout;
  return runs.filter(run => !look.hidden.has(run.key)).flatMap(run =>
    panel.quantities.flatMap((quantity, index) =>
      [quantity.metric, quantity.held_out].filter(Boolean).flatMap(metric => {
        const points = store.of(run.key, metric);
        if (!points) return [];
        const held = metric === quantity.held_out;
        const ties = held && store.of(run.key, quantity.unless)?.y;
        const y = ties ? points.y.map((value, i) => ties[i] === 1 ? NaN : value) : points.y;
        const ink = inkOf(run, quantity, theme, runs.length > 1);
        return [{ run, quantity, index, metric, held, ink, x: points.x, y }];
      })));
}

function tracesOf(panel, store, look, theme) {
  const several = store.layout.runs.length > 1;
  return curvesOf(panel, store, look, theme).flatMap(curve => {
    const { run, index, held, ink, x, y } = curve;
    const lengths = several ? run.dashes[Math.min(index, run.dashes.length - 1)] : [];
    const line = width => ({ color: ink, width, dash: dashed(lengths, width) });
    const base = { x, type: "scatter", hoverinfo: "none", connectgaps: false };
    if (held) {
      const marker = { symbol: several ? run.symbol : "circle", size: 5, color: ink };
      const error_y = errorOf(curve, store);
      return [{ ...base, y, mode: "lines+markers", line: line(1.6), marker, error_y }];
    }
    const raw = { ...base, y, mode: "lines", line: line(1.2), opacity: look.smoothing ? 0.25 : 0.6 };
    if (!look.smoothing) return [raw];
    const calm = { ...base, y: smoothed(y, look.smoothing), mode: "lines", line: line(1.8) };
    return [raw, calm];
  });
}

function errorOf({ run, quantity, ink, y }, store) {
  const value = metric => metric && store.of(run.key, metric)?.y;
  const [low, high, error] = [quantity.low, quantity.high, quantity.error].map(value);
  const shared = { type: "data", visible: true, color: ink, thickness: 1, width: 0 };
  if (low && high) {
    const [array, arrayminus] = [y.map((v, i) => high[i] - v), y.map((v, i) => v - low[i])];
    return { ...shared, symmetric: false, array, arrayminus };
  }
  return error ? { ...shared, symmetric: true, array: error } : { visible: false };
}

// Logarithmic where a person wants it and nothing is below 0.
function isLog(panel, traces, look) {
  return look.log && !panel.limits && traces.some(({ y }) => y.some(value => value > 0))
    && traces.every(({ y }) => !y.some(value => value < 0));
}

function lastStep(traces, total) {
  const last = Math.max(0, ...traces.map(({ x }) => x.at(-1) ?? 0));
  const parts = total > SHORT ? [8, 4, 2].map(part => total / part) : [];
  return parts.find(part => part >= last) ?? Math.max(total || UNKNOWN, last);
}

function layoutOf(panel, traces, store, look, theme, size) {
  const axis = {
    gridcolor: theme.line, linecolor: theme.line, zeroline: false, automargin: false, ticks: "",
    tickfont: { size: 11, color: theme.quiet }, showline: true, fixedrange: false,
  };
  const log = isLog(panel, traces, look);
  const right = lastStep(traces, store.layout.total);
  const room = panel.limits && 0.08 * (panel.limits[1] - panel.limits[0]);
  const range = panel.limits && [panel.limits[0] - room, panel.limits[1] + room];
  const thin = { color: theme.quiet, width: 1, dash: "dot" };
  const across = { type: "line", xref: "paper", x0: 0, x1: 1, layer: "below", line: thin };
  const upright = { type: "line", yref: "paper", y0: 0, y1: 1, line: thin };
  const shown = store.layout.runs.filter(run => !look.hidden.has(run.key));
  return {
    ...size, uirevision: `${log}`, showlegend: false, hovermode: "x", hoverdistance: -1,
    paper_bgcolor: theme.ground, plot_bgcolor: theme.ground, dragmode: "zoom",
    margin: { l: 46, r: 10, t: 6, b: 34 }, font: { family: theme.font, size: 11, color: theme.quiet },
    xaxis: {
      ...axis, nticks: 6, tickformat: "~s", autorange: true,
      autorangeoptions: { minallowed: -0.05 * right, include: [0, right] },
      title: { text: "step", font: { size: 11, color: theme.quiet }, standoff: 3 },
      showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "solid",
      spikecolor: theme.quiet, spikesnap: "cursor",
    },
    yaxis: {
      ...axis, nticks: 5, type: log ? "log" : "linear", exponentformat: "power",
      ...(range ? { range } : { autorange: true }),
    },
    shapes: [
      ...(panel.guide === null || (log && panel.guide <= 0)
        ? [] : [{ ...across, y0: panel.guide, y1: panel.guide }]),
      ...shown.flatMap(run => run.changes.map(step => ({ ...upright, x0: step, x1: step }))),
    ],
  };
}

// What a panel shows, for people who do not see it.
function spoken(panel, curves) {
  const latest = curves.filter(({ x }) => x.length).map(({ run, quantity, held, x, y }) => {
    const words = [run.name, quantity.name, held ? "held out" : "", y.at(-1).toPrecision(3)];
    return `${words.filter(Boolean).join(" ")} at step ${Math.round(x.at(-1))}`;
  });
  return `${panel.title}, ${panel.unit}: ${latest.join("; ") || "nothing yet"}`;
}
