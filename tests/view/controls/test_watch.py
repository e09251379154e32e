"""Watching: few frames while it goes on, always the last, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.utils.capture import capture_output

from workbench.errors import WorkbenchError
from workbench.view.controls.watch import watch
from workbench.view.html.render import verbatim


def texts(captured: object) -> list[str]:
    return [output.data["text/html"] for output in captured.outputs]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def shell() -> Iterator[None]:
    """`display` gives no handle outside a shell."""
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()
    yield
    InteractiveShell.clear_instance()


def test_every_state_is_gone_through_and_the_last_is_shown() -> None:
    drawn = []
    with capture_output() as captured:
        last = watch(range(10_000), lambda state: drawn.append(state) or f"{state}", rate=50)
    assert last == 9999
    assert drawn[0] == 0
    assert drawn[-1] == 9999
    assert len(drawn) < 1000
    assert texts(captured)[-1] == verbatim("9999")


def test_an_interrupted_watch_shows_how_far_it_came() -> None:
    def states() -> Iterator[int]:
        yield from (1, 2, 3)
        raise KeyboardInterrupt

    with capture_output() as captured, pytest.raises(KeyboardInterrupt):
        watch(states(), str)
    assert texts(captured)[-1] == verbatim("3")


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(WorkbenchError, match="states is empty"):
        watch([], str)
