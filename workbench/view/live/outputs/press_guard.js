// Watches the presses of all buttons in its dashboard, and says which of them the kernel holds up.
const PATIENCE = 300; // ms

function render({ model, el }) {
  const waiting = new Map(); // from a press to its timer
  let presses = 0;
  el.setAttribute("role", "status");

  function say() {
    const late = [...waiting.values()].some((timer) => timer === null);
    el.textContent = late ? "queued: the kernel is busy with another cell" : "";
  }

  function pressed(event) {
    if (!event.target.closest("button")) return;
    const press = ++presses;
    waiting.set(press, setTimeout(() => { waiting.set(press, null); say(); }, PATIENCE));
    model.send({ press });
  }

  function heard(message) {
    clearTimeout(waiting.get(message.answers));
    waiting.delete(message.answers);
    say();
  }

  let root = null;
  const found = setInterval(() => { // it is put into the page after it was made
    root = el.closest(".wb-dashboard");
    if (!root) return;
    clearInterval(found);
    root.addEventListener("click", pressed, true);
  }, 50);
  model.on("msg:custom", heard);
  return () => {
    clearInterval(found);
    root?.removeEventListener("click", pressed, true);
    model.off("msg:custom", heard);
  };
}

export default { render };
