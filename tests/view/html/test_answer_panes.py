"""Panes while they fill and when they are full; whatever is in them stays text."""

from __future__ import annotations

import pytest

from workbench.view.html.answer_panes import answer_panes

TEXTS = {"reference": "old words", "policy": "new words"}


def test_differences_are_marked_at_the_end_only() -> None:
    for state in ("waiting", "writing", "stopped", "failed"):
        html = answer_panes(TEXTS, state)
        assert f'data-state="{state}"' in html
        assert "<del" not in html
        assert "<bdi>old words</bdi>" in html
    finished = answer_panes(TEXTS, "finished")
    assert ">old</del> words" in finished
    assert ">new</ins> words" in finished


def test_state_is_said_in_words() -> None:
    assert answer_panes(TEXTS, "writing").count("· writing") == 2
    assert answer_panes(TEXTS, "stopped").count("· stopped here") == 2
    assert "·" not in answer_panes(TEXTS, "finished")


def test_without_texts_there_are_two_empty_panes() -> None:
    assert answer_panes({}).count("<section") == 2
    assert answer_panes({}).count("<bdi></bdi>") == 2
    assert "(empty)" in answer_panes({"reference": "a", "policy": ""}, "finished")


@pytest.mark.parametrize("state", ["writing", "finished"])
def test_names_and_texts_are_escaped(state: str) -> None:
    text = "<img src=x onerror=y>"
    html = answer_panes({f"a {text}": text, f"b {text}": "c", "d": text}, state)
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=y&gt;") == 4
    assert html.count("<section") == 3
