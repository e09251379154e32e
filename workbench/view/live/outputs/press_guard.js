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
    if (!el.closest(".wb-dashboard")?.contains(event.target)) return;
    const press = ++presses;
    waiting.set(press, setTimeout(() => { waiting.set(press, null); say(); }, PATIENCE));
    model.send({ press });
  }

  function heard(message) {
    clearTimeout(waiting.get(message.answers));
    waiting.delete(message.answers);
    say();
  }

  document.addEventListener("click", pressed, true);
  model.on("msg:custom", heard);
  return () => {
    document.removeEventListener("click", pressed, true);
    model.off("msg:custom", heard);
  };
}

export default { render };
