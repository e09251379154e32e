// Takes a file that is dropped or picked and sends it in parts; see file_picker.py.

const HINT = "or drop one here: JSONL, JSON, CSV, TSV or Parquet";
const PATHS = "application/x-jupyter-icontents"; // what JupyterLab's file browser drags
const PART = 1 << 20; // bytes in a message: servers refuse messages of 10 MB and more

function element(tag, traits, parent) {
  const made = Object.assign(document.createElement(tag), traits);
  parent.append(made);
  return made;
}

function render({ model, el }) {
  el.classList.add("wb-picker");
  const zone = element("div", { className: "wb-drop" }, el);
  const button = element("button", {
    type: "button", className: "jupyter-button wb-pick", textContent: "Choose a file",
  }, zone);
  const line = element("span", { textContent: HINT }, zone);
  line.setAttribute("role", "status");
  const input = element("input", { type: "file", hidden: true, accept: model.get("accepted") }, zone);
  const label = element("label", { className: "wb-here", textContent: "or one that is here already " }, el);
  const list = element("select", {}, label);
  let sending = null, count = 0; // the file that is being sent; all so far

  function option(value) {
    return new Option(value, value, false, value === model.get("chosen"));
  }

  function offer() {
    const files = model.get("files"), shipped = model.get("shipped");
    const group = (title, names) => {
      const made = Object.assign(document.createElement("optgroup"), { label: title });
      made.append(...names.map(option));
      return names.length > 0 ? [made] : [];
    };
    list.replaceChildren(
      new Option("choose one", "", true, model.get("chosen") === ""),
      ...group("beside the notebook", files.slice(shipped)),
      ...group("shipped with the workbench", files.slice(0, shipped)),
    );
  }

  async function send(start) {
    const { file, number } = sending;
    const share = file.size > 0 ? Math.floor(100 * start / file.size) : 0;
    line.textContent = `sending ${file.name}: ${share}%`;
    try {
      const part = await file.slice(start, start + PART).arrayBuffer();
      if (sending?.number !== number) return;
      model.send({ file: number, name: file.name, size: file.size, start }, undefined, [part]);
    } catch {
      sending = null;
      line.textContent = `the browser cannot read ${file.name}: is it a folder?`;
    }
  }

  function take(files) {
    if (files.length > 1) line.textContent = "drop one file at a time";
    if (files.length !== 1) return;
    sending = { file: files[0], number: ++count };
    send(0);
  }

  // The dashboard comes below, part by part.
  function reveal(box, tries = 100) {
    const board = box?.querySelector(".wb-training .wb-dashboard");
    if (board) board.scrollIntoView({ behavior: "smooth", block: "start" });
    else if (tries > 0) setTimeout(reveal, 50, box, tries - 1);
  }

  function heard(said) {
    if (said.reveal) return reveal(el.closest(".wb-choosing"));
    if (said.file !== sending?.number) return;
    if ("next" in said) return send(said.next);
    sending = null;
    line.textContent = HINT;
  }

  // A file of the computer comes with a DragEvent, one of the file browser with an event of Lumino.
  function over(event) {
    const own = event.mimeData?.getData(PATHS);
    if (!own && !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    const kind = event.type.replace("lm-", "");
    zone.classList.toggle("wb-over", kind === "dragenter" || kind === "dragover");
    if (own) event.dropAction = event.proposedAction;
    if (kind !== "drop") return;
    own ? model.send({ path: own[0] }) : take(event.dataTransfer.files);
  }

  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    el.addEventListener(kind, over);
    el.addEventListener(`lm-${kind}`, over);
  }
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that the same file can be picked again
  });
  for (const kind of ["pointerenter", "focusin"]) {
    el.addEventListener(kind, () => model.send({ list: true }));
  }
  list.addEventListener("change", () => {
    if (list.value !== "") model.send({ choose: list.value });
  });
  model.on("change:files change:chosen", offer);
  model.on("msg:custom", heard);
  offer();
  return () => {
    model.off("change:files change:chosen", offer);
    model.off("msg:custom", heard);
  };
}

export default { render };
