"""The page of `compare` in a real browser: it sorts, it filters, and nothing foreign runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pandas as pd
import pytest

from jupyter_page import note_errors  # isort: skip - beside this file, see conftest
from page_checks import at_each_width, barriers
from playwright.sync_api import Page, expect

from workbench.compare.answers import Answer, measure
from workbench.compare.handle_sources import handles
from workbench.compare.judging.winners import judged
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.view.compare.page import comparison_page
from workbench.view.compare.several import comparison
from workbench.view.compare.several.comparison_data import as_json, table_data

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
    path.write_text(comparison_page([run], frame, SamplingConfig()), encoding="utf-8")
    return path


@pytest.fixture(params=["light", "dark"])
def page(blank: Page, file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page as it opens; whatever it complains of or asks the network for fails the test."""
    errors: list[str] = []
    note_errors(blank, errors)
    blank.on("request", lambda r: errors.append(r.url) if r.url[:5] not in OWN else None)
    blank.emulate_media(color_scheme=request.param)
    blank.goto(file.as_uri())
    yield blank
    assert errors == []
    assert blank.evaluate("window.foreign") is None


def shown(page: Page) -> list[int]:
    """Places of the prompts that are seen, from top to bottom."""
    rows = page.locator(".wb-comparison tr[data-place]")
    return [int(row.get_attribute("data-place") or "") for row in rows.all()]


def test_texts_are_text_in_either_theme(page: Page) -> None:
    every = list(range(len(HOSTILE)))
    assert shown(page) == every
    for place, text in enumerate(HOSTILE):
        prompt = page.locator(".wbc-open").nth(place)
        assert prompt.text_content() == text
        prompt.click()
        answer = page.locator(".wbc-detail").nth(place).locator("section p").first
        assert (answer.text_content() or "").startswith(text)
    assert page.locator("svg").count() == 0
    assert page.locator("img").count() == 1
    assert page.locator("script").count() == 2
    assert page.locator("img").evaluate("image => image.naturalWidth") == 1000
    colours = page.evaluate(
        "() => ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    light, dark = "rgb(31, 31, 31)", "rgb(22, 24, 27)"
    assert light in colours or dark in colours
    mark = page.locator("ins").first
    assert "underline" in mark.evaluate("mark => getComputedStyle(mark).textDecorationLine")


def test_no_barriers_and_nothing_unreadable(page: Page, pictures: Path) -> None:
    for landmark in ("banner", "main"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    expect(page.get_by_role("banner").get_by_role("heading", level=1)).to_have_count(1)
    page.locator(".wbc-open").first.click()
    theme = (
        "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    )
    assert barriers(page, "html") + at_each_width(page, "body", pictures, f"page-{theme}") == []


def test_person_sorts_and_filters(page: Page) -> None:
    every = list(range(len(HOSTILE)))
    count = page.locator(".wb-comparison output")
    header = page.get_by_role("button", name="words in prompt")
    header.click()
    header.click()
    words = [len(HOSTILE[place].split()) for place in shown(page)]
    assert words == sorted(words, reverse=True) != sorted(words)
    assert page.locator("th[aria-sort=descending]").count() == 1
    page.get_by_label("only where answers differ").check()
    assert sorted(shown(page)) == every[1:], "the first prompt was answered in the same words"
    expect(count).to_have_text(f"{len(every) - 1} of {len(every)} prompts")
    page.get_by_label("search prompts and answers").fill("<|ENDOFTEXT")
    assert shown(page) == [HOSTILE.index("<|endoftext|>")]
    page.get_by_label("search prompts and answers").fill("nothing like this")
    assert shown(page) == []
    expect(count).to_have_text(f"0 of {len(every)} prompts")
    page.get_by_role("button", name="Clear filters").click()
    assert sorted(shown(page)) == every
    page.get_by_label("words in prompt, at least").fill("3")
    assert {len(HOSTILE[place].split()) >= 3 for place in shown(page)} == {True}


def test_person_saves_a_selection(page: Page) -> None:
    page.get_by_label("select prompt 2").check()
    page.get_by_label("select prompt 3").check()
    with page.expect_download() as pairs:
        page.get_by_role("button", name="Save as pairs").click()
    rows = [json.loads(line) for line in pairs.value.path().read_text("utf-8").splitlines()]
    assert [row["prompt"] for row in rows] == list(HOSTILE[1:3])
    assert [row["rejected"] for row in rows] == [
        f"{HOSTILE[i]} reference" + " more" * i for i in (1, 2)
    ]
    with page.expect_download() as prompts:
        page.get_by_role("button", name="Save as prompts").click()
    rows = [json.loads(line) for line in prompts.value.path().read_text("utf-8").splitlines()]
    assert rows == [{"prompt": text} for text in HOSTILE[1:3]]


def test_a_thousand_prompts_are_filtered(blank: Page) -> None:
    """Reports how long a filter takes, layout included; benchmarks/README.md has the figure."""
    blank.set_content(thousand())
    blank.wait_for_selector(".wb-comparison output")
    times = blank.evaluate(FILTERS)
    assert blank.locator(".wb-comparison output").text_content() == "1000 of 1000 prompts"
    print(f"1,000 prompts, 3 models: median {median(times):.0f} ms, most {max(times):.0f} ms")


FILTERS = """async () => {
  const search = document.querySelector(".wbc-bar input"), times = [];
  for (let round = 0; round < 20; round++) {
    for (const text of [["one", "two", "prompt 3", "7"][round % 4], ""]) {
      const begin = performance.now();
      search.value = text;
      search.dispatchEvent(new Event("input", { bubbles: true }));
      document.body.offsetHeight;
      times.push(performance.now() - begin);
      await new Promise(done => requestAnimationFrame(done));
    }
  }
  return times;
}"""


def thousand() -> str:
    """The table alone, with 1,000 made-up prompts and three models."""
    rows = [
        {
            "place": place, "prompt": f"prompt {place}", "who": who, "text": f"{who} " * 30,
            "tokens": place % 60, "ended": True, "kl": place % 17, "reward": place % 7 - 3 + number,
        }
        for place in range(1000)
        for number, who in enumerate(("reference", "one", "two"))
    ]  # fmt: skip
    data = as_json(table_data(judged(pd.DataFrame(rows))))
    here = Path(comparison.__file__).parent
    code, sheet = (here / f"comparison.{kind}" for kind in ("js", "css"))
    parsed = "JSON.parse(document.querySelector('#d').textContent)"
    start = f"build(document.querySelector('div'), {parsed}, {{}});"
    return (
        f"<!doctype html><style>{sheet.read_text()}</style><div></div>"
        f"<script type='application/json' id='d'>{data}</script>"
        f"<script type='module'>{code.read_text()}\n{start}</script>"
    )


def test_a_script_that_came_in_would_not_run(blank: Page, file: Path) -> None:
    """Even where something had been left unescaped."""
    broken = file.with_name("broken.html")
    whole = file.read_text(encoding="utf-8")
    attack = '<script>window.foreign = 1</script><img src="x" onerror="window.foreign = 1">'
    assert "<body>" in whole
    broken.write_text(whole.replace("<body>", f"<body>{attack}"), encoding="utf-8")
    complaints: list[str] = []
    note_errors(blank, complaints)
    blank.goto(broken.as_uri())
    expect(blank.locator(".wb-comparison output")).to_have_text(
        f"{len(HOSTILE)} of {len(HOSTILE)} prompts"
    )
    assert blank.evaluate("window.foreign") is None
    assert any("Content Security Policy" in complaint for complaint in complaints)
