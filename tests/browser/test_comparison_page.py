"""The page of `compare` in a real browser: it sorts, it filters, and nothing foreign runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_page import browser_page, note_errors  # isort: skip - beside this file, see conftest
from playwright.sync_api import Page, expect

from workbench.compare.answers import Answer, measure
from workbench.compare.handle_sources import handles
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.view.compare.page import comparison_page

pytestmark = pytest.mark.browser

HOSTILE = (
    "<script>window.foreign = 1</script>",
    '<img src=x onerror="window.foreign = 1">',
    '"><svg onload="window.foreign = 1">',
    "</script></table></body>",
    "&amp; &lt;b&gt;",
    "<|endoftext|>",
    "\u202eto the left\u202c",
    "zero\u200bwidth",
)
OWN = ("file:", "data:")  # what the page may read: itself
WORLD = ReviewsConfig(pairs=32, topics=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose prompts and answers are all hostile; the policy answers ever longer."""
    base = new_model(Reviews(WORLD), BaseConfig(dim=16, layers=1, hidden_dim=24))
    config = TrainConfig(
        world=WORLD, pairs_from="grammar", batch_size=8, held_out=8, samples=2, max_steps=2,
        max_new_tokens=4,
    )  # fmt: skip
    run = Run.create(config, base=base)
    list(run)
    answers = {
        who: [
            Answer(text, f"{text} {who if place else 'both'}" + " more" * place, (3,) * 9, True)
            for place, text in enumerate(HOSTILE)
        ]
        for who in ("reference", "policy")
    }
    frame = measure(answers, handles(run))
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(comparison_page(run, frame, SamplingConfig()), encoding="utf-8")
    return path


@pytest.fixture(params=["light", "dark"])
def page(chromium: str, file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page as it opens; whatever it complains of or asks the network for fails the test."""
    with browser_page(chromium) as page:
        errors: list[str] = []
        note_errors(page, errors)
        page.on("request", lambda r: errors.append(r.url) if r.url[:5] not in OWN else None)
        page.emulate_media(color_scheme=request.param)
        page.goto(file.as_uri())
        yield page
        assert errors == []
        assert page.evaluate("window.foreign") is None


def shown(page: Page) -> list[int]:
    """Places of the prompts that are seen, from top to bottom."""
    rows = page.locator(".wb-answers tbody tr:visible")
    return [int(row.get_attribute("data-index") or "") for row in rows.all()]


def test_texts_are_text_in_either_theme(page: Page) -> None:
    every = list(range(len(HOSTILE)))
    assert shown(page) == every
    for place, text in enumerate(HOSTILE):
        prompt = page.locator(".wb-answers tbody tr").nth(place).locator("bdi").first
        assert prompt.text_content() == text
    assert page.locator("svg").count() == 0
    assert page.locator("img").count() == page.locator("script").count() == 1
    assert page.locator("img").evaluate("image => image.naturalWidth") == 1000
    colours = page.evaluate(
        "() => ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    light, dark = "rgb(31, 31, 31)", "rgb(22, 24, 27)"
    assert light in colours or dark in colours
    mark = page.locator("ins").first
    assert "underline" in mark.evaluate("mark => getComputedStyle(mark).textDecorationLine")


def test_person_sorts_and_filters(page: Page) -> None:
    every = list(range(len(HOSTILE)))
    count = page.locator("form output")
    page.get_by_label("sort by").select_option("words")
    page.get_by_label("largest first").check()
    by_words = shown(page)
    words = [len(HOSTILE[place].split()) + place for place in by_words]
    assert words == sorted(words, reverse=True)
    assert sorted(by_words) == every != by_words
    page.get_by_label("largest first").uncheck()
    page.get_by_label("sort by").select_option("as asked")
    assert shown(page) == every
    page.get_by_label("only where answers differ").check()
    assert shown(page) == every[1:], "the first prompt was answered in the same words"
    expect(count).to_have_text(f"{len(every) - 1} of {len(every)} prompts")
    page.get_by_label("text contains").fill("<|ENDOFTEXT")
    assert shown(page) == [HOSTILE.index("<|endoftext|>")]
    page.get_by_label("text contains").fill("nothing like this")
    assert shown(page) == []
    expect(count).to_have_text(f"0 of {len(every)} prompts")
    page.get_by_label("text contains").press("Enter")
    assert page.url.endswith("page.html"), "the form goes nowhere"
    page.get_by_label("text contains").fill("")
    page.get_by_label("of", exact=True).select_option("change")
    for sort in page.get_by_label("sort by").locator("option").all():
        page.get_by_label("sort by").select_option(sort.get_attribute("value") or "")
        assert sorted(shown(page)) == every[1:]


def test_a_script_that_came_in_would_not_run(chromium: str, file: Path) -> None:
    """Even where something had been left unescaped."""
    broken = file.with_name("broken.html")
    whole = file.read_text(encoding="utf-8")
    attack = '<script>window.foreign = 1</script><img src="x" onerror="window.foreign = 1">'
    assert "<body>" in whole
    broken.write_text(whole.replace("<body>", f"<body>{attack}"), encoding="utf-8")
    with browser_page(chromium) as page:
        complaints: list[str] = []
        note_errors(page, complaints)
        page.goto(broken.as_uri())
        expect(page.locator("form output")).to_have_text(
            f"{len(HOSTILE)} of {len(HOSTILE)} prompts"
        )
        assert page.evaluate("window.foreign") is None
        assert any("Content Security Policy" in complaint for complaint in complaints)
