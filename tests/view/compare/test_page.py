"""The page that is sent to somebody: one file, that asks for nothing and runs nothing foreign."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workbench.generation.config import SamplingConfig
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent
from workbench.train.settings import LiveSettings
from workbench.view.compare import page as page_module
from workbench.view.compare.page import comparison_page

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "</script></table>",
    "&amp; &lt;b&gt;",
    "<|endoftext|>",
    "\u202eright to left\u202c \u200bzero\u200dwidth",
    "'quotes\" and `ticks`",
)
VOID = {"meta", "br", "img", "input"}


class Page(HTMLParser):
    """What a browser makes of the page."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(markup)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def run(fake_run: Any, tmp_path: Path) -> Any:
    """A run that has ended, without a model."""
    run = fake_run(TrainConfig(model=str(tmp_path / "secret" / "model"), beta=0.3))
    list(run)
    data = SimpleNamespace(train=[1, 2, 3], held_out=[1], train_texts=[], held_out_texts=[])
    settings = LiveSettings.start(TrainConfig(beta=0.6).resolved())  # moved while it ran
    run.data, run.settings = data, settings
    return run


def frame_of(text: str = "plain") -> pd.DataFrame:
    """Two prompts, answered by two models."""
    rows = []
    for place, prompt in enumerate((f"first {text}", f"second {text}")):
        for who, answer in (("reference", f"{text} old"), ("policy", f"{text} new")):
            row = {
                "place": place,
                "prompt": prompt,
                "who": who,
                "text": answer,
                "words": 2,
                "tokens": 2,
            }
            row |= {"ended": True, "kl": 0.5 * place, "changed": 0.5, "repetition": 0.0}
            rows.append(row | {"logp/reference": -1.0, "logp/policy": float("nan")})
    return pd.DataFrame(rows)


@pytest.fixture
def page(run: Any) -> Page:
    return Page(comparison_page([run], frame_of(), SamplingConfig(seed=7)))


def test_its_policy_lets_through_what_is_its_own_and_nothing_else(page: Page) -> None:
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.keys() == {
        "default-src", "style-src", "script-src", "img-src", "base-uri", "form-action"
    }  # fmt: skip
    for tag in ("style", "script"):
        own = page.inside[tag][-1]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    assert {rules[name] for name in ("default-src", "base-uri", "form-action")} == {"'none'"}
    names = [name for name, _ in page.tags]
    assert names.index("meta") < names.index("style")


def test_nothing_is_asked_of_anybody(page: Page) -> None:
    links = [v for _, a in page.tags for n, v in a.items() if n in ("src", "href", "action")]
    assert len(links) == 1
    assert (links[0] or "").startswith("data:image/png;base64,")
    assert "://" not in "".join(page.inside["style"] + page.inside["script"])
    assert not any("style" in attributes for _, attributes in page.tags), "the policy forbids it"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("data", "../clients/acme/mine.jsonl", "mine.jsonl"),
        ("data", "clients/acme/mine.jsonl", "mine.jsonl"),
        ("model", "~/clients/acme/model", "model"),
        ("model", "org/name", "org/name"),  # on a hub
        ("loss", "../dpo", "../dpo"),
    ],
)
def test_folders_are_nobodys_business(name: str, value: str, told: str) -> None:
    assert page_module._short(name, value) == told


def test_it_tells_settings_metrics_and_how_it_was_drawn(run: Any) -> None:
    for event in run.events:
        if isinstance(event, EvalEvent):
            event.metrics["held_out/rewards/ties"] = float(event.step == 0)
    whole = comparison_page([run], frame_of(), SamplingConfig(seed=7, stop=("\n",)))
    page = Page(whole)
    cells = page.inside["td"] + page.inside["bdi"]
    assert "0.6" in cells, "beta as it was at the end"
    assert "all ties" in cells
    assert "3 to train on, 1 held out" in cells
    assert "7" in cells
    assert run.reference_hash[:12] in whole
    assert "secret" not in whole, "the sender's folders are nobody's business"
    assert "model on reviews, dpo" in page.inside["h1"]


def test_the_script_finds_all_that_it_shows(page: Page) -> None:
    data = json.loads(page.inside["script"][0])
    assert data["names"] == ["reference", "policy"]
    assert data["answers"][1][1] == [["", "plain"], ["", " "], ["ins", "new"]]
    kl = next(c for c in data["columns"] if (c["group"], c["title"]) == ("policy", "KL"))
    assert kl["values"] == [0.0, 0.5]
    (missing,) = (c["values"] for c in data["columns"] if c["title"] == "log-ratio")
    assert missing == [None, None]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(run: Any, text: str) -> None:
    run.config = TrainConfig(model=text, data=text)
    plain = Page(comparison_page([run], frame_of(), SamplingConfig()))
    page = Page(comparison_page([run], frame_of(text), SamplingConfig(stop=(text,))))
    assert {name for name, _ in page.tags} == {name for name, _ in plain.tags}
    assert len(page.all("script")) == 2
    assert len(page.all("img")) == 1
    answers = json.loads(page.inside["script"][0])["answers"]
    assert "".join(part for _, part in answers[0][0]) == f"{text} old"
    whole = "".join(page.inside["bdi"])
    assert whole.count(text) >= 4
    assert text in page.inside["title"][0]


def test_a_branch_that_has_said_nothing_has_no_curves(run: Any) -> None:
    run.events = []
    page = Page(comparison_page([run], frame_of(), SamplingConfig()))
    assert page.all("img") == []
