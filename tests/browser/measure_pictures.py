"""How long from a key press on a slider to the new picture on the screen: figures only.

    python tests/browser/measure_pictures.py

Every interactive picture of the lessons in a real JupyterLab; each of its sliders is moved in turn,
forty key presses in all, each once the picture before is there. What is timed is what a person
waits for: from the browser's key event to the frame in which the new picture is painted.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from jupyter_page import browser_page, find_chromium, jupyter_lab, open_notebook, write_notebook
from playwright.sync_api import Locator, Page, expect

FIGURES = {
    "derivation": ("explore_objective", "explore_optimum", "explore_reward", "explore_preference"),
    "descent": ("explore_loss",),
    "beta": ("explore_two_truths", "explore_reference_temperature"),
    "loss_shapes": ("explore_losses",),
    "displacement": ("explore_displacement", "explore_shared_features"),
    "rlhf.rankings": ("explore_ranking",),
    "rlhf.token_tree": ("explore_token_tree",),
}
KEYS = 40
NOTE_TIMES = """
window.took = [];
addEventListener("keydown", event => { window.pressed = performance.now(); }, true);
document.addEventListener("load", event => {
    if (event.target.tagName !== "IMG" || !window.pressed) return;
    const pressed = window.pressed;
    window.pressed = 0;
    requestAnimationFrame(() => setTimeout(() => window.took.push(performance.now() - pressed)));
}, true);
"""


def measure(page: Page, figure: Locator) -> list[float]:
    """Milliseconds of each key press, over all sliders of a figure in turn."""
    page.evaluate("window.took = []")
    sliders = figure.get_by_role("slider")
    for count in range(KEYS):
        handle = sliders.nth(count % sliders.count())
        # Back and forth around where the slider starts, each time to another value.
        handle.press("ArrowRight" if count // sliders.count() % 2 else "ArrowLeft")
        page.wait_for_function("count => window.took.length > count", arg=count)
    return page.evaluate("window.took")


def main() -> None:
    """Print the median and the longest of every figure."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium found; WORKBENCH_CHROMIUM can name it")
    for module, names in FIGURES.items():
        with TemporaryDirectory() as folder:
            cells = [
                f"from workbench.view.lessons.{module} import {name}\n{name}()" for name in names
            ]
            write_notebook(Path(folder) / "figures.ipynb", *cells)
            with jupyter_lab(Path(folder)) as address, browser_page(chromium) as page:
                page.add_init_script(NOTE_TIMES)
                open_notebook(page, address, "figures.ipynb")
                page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
                figures = page.locator(".wb-explorer")
                expect(figures).to_have_count(len(names), timeout=60_000)
                for name, place in zip(names, range(len(names)), strict=True):
                    expect(figures.nth(place).locator("img")).to_be_visible(timeout=60_000)
                    took = measure(page, figures.nth(place))
                    print(f"{name:32} {median(took):4.0f} ms, longest {max(took):4.0f} ms")


if __name__ == "__main__":
    main()
