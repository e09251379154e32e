// A PNG from the kernel; see picture.py.

function render({ model, el }) {
  const image = document.createElement("img");
  image.className = "wb-figure";
  image.decoding = "sync"; // otherwise it is painted a frame later
  el.append(image);
  function show() {
    const before = image.src;
    image.src = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    URL.revokeObjectURL(before);
  }
  function describe() {
    image.alt = model.get("alt");
  }
  model.on("change:value", show);
  model.on("change:alt", describe);
  show();
  describe();
  return () => {
    model.off("change:value", show);
    model.off("change:alt", describe);
    URL.revokeObjectURL(image.src);
  };
}

export default { render };
