"""The box around a view: its keys stay with it, and the kernel hears it whatever else is going on.

ipykernel 7.4 sends a message to the shell from which the kernel last wrote to the widget, whatever
the page asks for. A button that a cell has made would wait for all cells that still run; and once a
page is closed, its shell is gone, and widgets that answered it would hear nothing of the next page.
So messages go to the shell that the page asks for. Other kernels are not concerned.
"""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as widgets

from workbench.view.controls.keys import KeepKeys


def view_box(parts: Sequence[widgets.Widget], *names: str) -> widgets.VBox:
    """The parts below each other, in a box of these CSS classes."""
    box = widgets.VBox([*parts, KeepKeys()])
    for name in names:
        box.add_class(name)
    _use_asked_shell(box)
    return box


def _use_asked_shell(widget: widgets.Widget) -> None:
    """Also for all within it, and for what is put into it later."""
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda data, asked: asked
    if widget.has_trait("children"):
        _all_use_it(widget.children)
        widget.observe(lambda change: _all_use_it(change["new"]), "children")


def _all_use_it(children: Sequence[widgets.Widget]) -> None:
    for child in children:
        _use_asked_shell(child)
