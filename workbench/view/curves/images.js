// All panels as one picture, on the theme's ground.
const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
  if (text !== undefined) node.textContent = text;
  return node;
}

// The SVG of a grid, {columns, panels: [{title, plot}], legend: [{name, ink}]}, as text.
async function asSvg(plotly, grid, theme) {
  const [width, height] = [grid.panels[0].plot.clientWidth, grid.panels[0].plot.clientHeight];
  const [head, top] = [24, 30];
  const rows = Math.ceil(grid.panels.length / grid.columns);
  const size = { width: grid.columns * (width + 12), height: top + rows * (height + head) };
  const root = drawn("svg", { xmlns: SVG, ...size, viewBox: `0 0 ${size.width} ${size.height}` });
  const font = { "font-family": theme.font, "font-size": 12 };
  root.append(drawn("rect", { width: "100%", height: "100%", fill: theme.ground }));
  let at = 10;
  for (const { name, ink } of grid.legend) {
    root.append(drawn("rect", { x: at, y: 12, width: 14, height: 3, fill: ink }));
    root.append(drawn("text", { ...font, x: at + 20, y: 18, fill: theme.text }, name));
    at += 40 + 7 * name.length;
  }
  for (const [index, { title, plot }] of grid.panels.entries()) {
    const x = (index % grid.columns) * (width + 12);
    const y = top + Math.floor(index / grid.columns) * (height + head);
    const bold = { ...font, "font-weight": "bold", fill: theme.text };
    root.append(drawn("text", { ...bold, x: x + 10, y: y + 15 }, title));
    const url = await plotly.toImage(plot, { format: "svg", width, height });
    const text = decodeURIComponent(url.slice(url.indexOf(",") + 1));
    const panel = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    panel.setAttribute("x", x);
    panel.setAttribute("y", y + head);
    root.append(document.importNode(panel, true));
  }
  return new XMLSerializer().serializeToString(root);
}

async function asPng(svg, scale = 2) {
  const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const image = new Image();
  image.src = url;
  await image.decode();
  URL.revokeObjectURL(url);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise(done => canvas.toBlob(done, "image/png"));
}

function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
