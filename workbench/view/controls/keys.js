// Keys pressed within the box around this widget don't reach the notebook; see keys.py.

const PASSING = ["Escape", "Control", "Meta"];
// JupyterLab looks for this attribute, from the focused element upwards, before it takes a key as
// a shortcut. It listens while the key is on its way down, so that stopping it would be too late.
const SUPPRESS = "data-lm-suppress-shortcuts";

function render({ el }) {
  el.style.display = "none";
  function keep(event) {
    const box = el.parentElement;
    if (!box?.contains(event.target)) return;
    const passes = PASSING.includes(event.key) || event.ctrlKey || event.metaKey;
    box.toggleAttribute(SUPPRESS, !passes);
  }
  function stop(event) { // for pages that have no such attribute
    if (el.parentElement?.hasAttribute(SUPPRESS) && el.parentElement.contains(event.target)) {
      event.stopPropagation();
    }
  }
  window.addEventListener("keydown", keep, true);
  document.body.addEventListener("keydown", stop);
  return () => {
    window.removeEventListener("keydown", keep, true);
    document.body.removeEventListener("keydown", stop);
  };
}

export default { render };
