"""What a page must keep to at every width and in both themes: barriers, small text, cut text."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from jupyter_page import THEMES
from playwright.sync_api import Page

WIDTHS = (900, 1280, 1920)
HEIGHT = 800
SMALLEST = 11  # px

# Elements that hold text of their own and are shown, with their font size in px.
_TEXTS = """([root, smallest]) => [...document.querySelectorAll(`${root}, ${root} *`)]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length
        && [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
    .map(e => [parseFloat(getComputedStyle(e).fontSize), e.textContent.trim().slice(0, 40)])
    .filter(([size]) => size < smallest)"""
# Elements whose text does not fit into them and can't be scrolled to.
_CUT = """root => [...document.querySelectorAll(`${root} *`)]
    .filter(e => e.checkVisibility({visibilityProperty: true}) && e.clientWidth > 1
        && e.textContent.trim() && !e.closest("svg, script, style, [data-may-be-cut]"))
    .filter(e => ["hidden", "clip"].includes(getComputedStyle(e).overflowX)
        && e.scrollWidth > e.clientWidth + 1)
    .map(e => `${e.className}: ${e.textContent.trim().slice(0, 40)}`)"""
# Columns of tables too narrow for the longest word in them.
_BROKEN = """root => [...document.querySelectorAll(`${root} th, ${root} td`)]
    .filter(e => e.checkVisibility() && e.textContent.trim() && e.clientWidth < 24)
    .map(e => e.textContent.trim().slice(0, 40))"""


def barriers(page: Page, root: str) -> list[str]:
    """What axe-core calls critical or serious within the elements that `root` selects."""
    found = Axe().run(page, context=root).response["violations"]
    return [
        f"{barrier['id']} ({barrier['impact']}): {node['target']} {node['html'][:120]}"
        for barrier in found
        if barrier["impact"] in ("critical", "serious")
        for node in barrier["nodes"]
    ]


def unreadable(page: Page, root: str) -> list[str]:
    """Text that is too small, cut off, or squeezed into a narrow column."""
    small = page.evaluate(_TEXTS, [root, SMALLEST])
    cut, broken = page.evaluate(_CUT, root), page.evaluate(_BROKEN, root)
    sizes = dict(small)  # one example each
    return [
        *(f"{size:.1f} px: {text}" for size, text in sizes.items()),
        *(f"cut: {text}" for text in cut),
        *(f"narrow column: {text}" for text in broken),
    ]


def change_theme(page: Page, theme: str) -> None:
    """Switch JupyterLab to the light or the dark theme, and wait until it is drawn."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})",
        THEMES[theme],
    )
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight == light", arg=str(theme == "light").lower()
    )
    page.wait_for_timeout(300)


def at_each_width(page: Page, root: str, folder: Path, name: str) -> list[str]:
    """What is unreadable at any width; leaves a picture of each width in `folder`."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.wait_for_timeout(300)
        first = page.locator(root).first
        first.evaluate("element => element.scrollIntoView({block: 'start'})")
        page.screenshot(path=folder / f"{name}-{width}.png")
        found += [f"{width} wide, {what}" for what in unreadable(page, root)]
    return found
