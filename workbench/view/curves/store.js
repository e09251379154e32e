// The points on the page: by run and metric, as the kernel sends them.
class Store {
  constructor() {
    this.points = new Map(); // "run metric" -> {x: steps, y: values}
    this.layout = { panels: [], runs: [], total: 0 };
  }

  of(run, metric) {
    return this.points.get(`${run} ${metric}`);
  }

  // A segment replaces all points from its index on: new ones are appended, and after the kernel
  // has averaged neighbours a segment begins at 0. Returns the metrics that have changed.
  take({ anew, segments }, buffer) {
    if (anew) this.points.clear();
    // A buffer may begin anywhere in a message: a copy begins where floats may.
    const numbers = new Float32Array(buffer.buffer.slice(
      buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
    let at = 0;
    for (const [run, metric, start, count] of segments) {
      const key = `${run} ${metric}`;
      const { x, y } = this.points.get(key) ?? { x: [], y: [] };
      const [steps, values] = [x.slice(0, start), y.slice(0, start)];
      for (let i = 0; i < count; i++, at += 2) {
        steps.push(numbers[at]);
        values.push(numbers[at + 1]);
      }
      this.points.set(key, { x: steps, y: values });
    }
    return new Set(segments.map(([, metric]) => metric));
  }

  csv(hidden) {
    const rows = [["run", "step", "metric", "value"]];
    const metrics = new Set(this.layout.panels.flatMap(p => p.quantities.flatMap(metricsOf)));
    for (const run of this.layout.runs.filter(run => !hidden.has(run.key))) {
      for (const metric of metrics) {
        const { x, y } = this.of(run.key, metric) ?? { x: [], y: [] };
        x.forEach((step, i) => rows.push([run.name, digits(step), metric, digits(y[i])]));
      }
    }
    return rows.map(row => row.map(quoted).join(",") + "\n").join("");
  }
}

function metricsOf(quantity) {
  const { metric, held_out, low, high, error, unless } = quantity;
  return [metric, held_out, low, high, error, unless].filter(Boolean);
}

// As many digits as a float32 has.
const digits = value => `${Number(value.toPrecision(7))}`;
const quoted = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

// Exponential mean of the values before, corrected for its start; what is no number is left out.
function smoothed(values, weight) {
  let mean = 0, total = 0;
  return values.map(value => {
    if (!Number.isFinite(value)) return value;
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + 1 - weight;
    return mean / total;
  });
}

// Index of the point nearest to a step; -1 where there is none.
function nearest(steps, step) {
  let best = -1;
  steps.forEach((at, i) => {
    if (best < 0 || Math.abs(at - step) <= Math.abs(steps[best] - step)) best = i;
  });
  return best;
}
