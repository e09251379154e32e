"""Which column of a file is which: a menu for each column of a layout, beside the first rows."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from workbench.data.layouts.columns import NAMES
from workbench.data.layouts.known_layouts import LAYOUTS
from workbench.view.compare.pair_table import shorten
from workbench.view.data.opened_file import OpenedFile
from workbench.view.html.render import render

NONE = "–"
MOST, LONGEST = 12, 90  # columns that are shown; characters of a value


class ColumnChoice:
    """A menu of the layouts, a menu of the file's columns for each column of the chosen layout, and
    below them the first rows as they are in the file.

    Attributes:
        box: all of it, as a widget; hidden while no file is shown.
        menus: by the name that the layout has for a column.
    """

    def __init__(self, use: Callable[[str], None]) -> None:
        """`use` gets what was chosen, such as "prompt=question,chosen=best,rejected=worst"."""
        self._use, self._names = use, list[str]()
        self._given = dict[str, str]()
        self.layout = widgets.Dropdown(
            options=[(one.told, one) for one in LAYOUTS if {*one.columns} <= {*NAMES}],
            description="a row holds",
        ).add_class("wb-layout")
        self.menus: dict[str, widgets.Dropdown] = {}
        self._row = widgets.HBox().add_class("wb-row")
        self.button = widgets.Button(description="Use these columns").add_class("wb-use")
        self._table = widgets.HTML().add_class("wb-raw")
        inner = widgets.VBox([self.layout, self._row, self._table]).add_class("wb-columns")
        self.box = widgets.Accordion([inner], titles=["Columns"]).add_class("wb-more")
        self.box.layout.display = "none"
        self.layout.observe(lambda change: self._offer(), "value")
        self.button.on_click(lambda button: self._use(self.chosen))

    @property
    def chosen(self) -> str:
        """The columns by the names of the layout; those of the same name are left out."""
        named = {name: menu.value for name, menu in self.menus.items() if menu.value != NONE}
        return ",".join(f"{name}={column}" for name, column in named.items() if name != column)

    def show(self, file: OpenedFile, given: dict[str, str]) -> None:
        """The columns of this file; open where its layout is unknown, hidden where it has none of
        pairs under whatever names."""
        self._names, self._given = list(file.names), given
        self.box.layout.display = None if file.names and not file.kind else "none"
        self.box.selected_index = 0 if file.pairs is None else None
        rows = [[_short(row.get(name)) for name in file.names[:MOST]] for row in file.rows]
        titles = [name or "(no name)" for name in file.names[:MOST]]
        self._table.value = render("table", name="", titles=titles, rows=rows, numbers=False)
        self._offer()

    def hide(self) -> None:
        self.box.layout.display = "none"

    def _offer(self) -> None:
        """A menu for each column of the chosen layout; one of the same name is chosen already."""
        wanted = self.layout.value.columns
        self.menus = {name: self._menu(name) for name in wanted}
        self._row.children = (*self.menus.values(), self.button)
        self._check()

    def _menu(self, name: str) -> widgets.Dropdown:
        own = self._given.get(name, name if name in self._names else NONE)
        options = [NONE, *self._names]
        menu = widgets.Dropdown(options=options, value=own, description=f"{name} is")
        menu.add_class(f"wb-column-{name}").observe(lambda change: self._check(), "value")
        return menu

    def _check(self) -> None:
        chosen = [menu.value for menu in self.menus.values()]
        self.button.disabled = NONE in chosen or len(set(chosen)) < len(chosen)


def _short(value: object) -> str:
    return "" if value is None else shorten(str(value), LONGEST)
