"""The box around a view: what a page says arrives in the shell that the page asks for."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import pytest

from workbench.view.controls.keys import KeepKeys
from workbench.view.controls.view_box import view_box


class Routed:
    """A comm that sends messages elsewhere, as ipykernel's does once it was written to."""

    comm_id, kernel = "id", None

    def _reply_subshell_for(self, data: Any, asked: str | None) -> str | None:
        return "gone"

    def on_msg(self, callback: Any) -> None: ...
    def send(self, *arguments: Any, **named: Any) -> None: ...
    def close(self, *arguments: Any, **named: Any) -> None: ...


@pytest.fixture(autouse=True)
def routed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipywidgets.widgets.widget.comm.create_comm", lambda **_: Routed())


def shell_of(widget: widgets.Widget) -> str | None:
    return widget.comm._reply_subshell_for({}, "asked")


def test_all_within_are_heard_in_the_shell_that_is_asked_for() -> None:
    button = widgets.Button()
    assert shell_of(button) == "gone"
    box = view_box([widgets.HBox([button])], "wb-one", "wb-two")
    assert {"wb-one", "wb-two"} <= set(box._dom_classes)
    assert isinstance(box.children[-1], KeepKeys)
    row = box.children[0]
    assert [shell_of(one) for one in (box, row, button)] == ["asked"] * 3


def test_so_is_what_is_put_into_it_later() -> None:
    row = widgets.HBox()
    view_box([row])
    later = widgets.VBox([widgets.Button()])
    row.children = (later,)
    assert [shell_of(one) for one in (later, later.children[0])] == ["asked"] * 2
