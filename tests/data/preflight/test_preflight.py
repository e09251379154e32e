"""Every flaw that is planted is found, with its rows, and a clean file has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.data.pairs import read_pairs
from workbench.data.preflight import preflight
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

LONGEST = 64
CLEAN = [
    {
        "prompt": f"the robot number {number} waits\n",
        "chosen": f"it stops {number}" + " now" * (number % 3),
        "rejected": f"it goes {number}" + " on" * (number % 2),
    }
    for number in range(24)
]
PLANTED: dict[str, tuple[bool, list[dict[str, Any]], list[int]]] = {
    "rows that cannot be used": (False, [{"prompt": "a", "chosen": "", "rejected": "b"}], [25]),
    "cut completions": (True, [{"prompt": "a\n", "chosen": "b c " * 80, "rejected": "d"}], [25]),
    "special tokens inside texts": (
        False,
        [
            {"prompt": "a <|end|> b\n", "chosen": "b", "rejected": "d"},
            {"prompt": "a\n", "chosen": "b</s> c", "rejected": "d"},
            {"prompt": "a\n", "chosen": "e</s>", "rejected": "f</s>\n"},
        ],
        [25, 26],
    ),
    "doubled beginning of sequence": (
        True,
        [{"prompt": "<s>a\n", "chosen": "b", "rejected": "d"}],
        [25],
    ),
    "doubled end of sequence": (
        True,
        [{"prompt": "a\n", "chosen": "b</s></s>", "rejected": "d"}],
        [25],
    ),
    "contradictions": (
        True,
        [
            {"prompt": "a\n", "chosen": "b", "rejected": "d"},
            {"prompt": "A \n", "chosen": "D", "rejected": "b"},
        ],
        [25, 26],
    ),
    "sides that hardly differ": (
        True,
        [{"prompt": "a\n", "chosen": "b  c", "rejected": "B c"}],
        [25],
    ),
    "repeated pairs": (False, [CLEAN[3]], [25]),
    "nearly repeated pairs": (False, [{**CLEAN[3], "chosen": CLEAN[3]["chosen"] + " "}], [25]),
    "chosen with the lower score": (
        True,
        [{"prompt": "a\n", "chosen": "b", "rejected": "d", "chosen_score": 1, "rejected_score": 2}],
        [25],
    ),
    "equal scores": (
        False,
        [{"prompt": "a\n", "chosen": "b", "rejected": "d", "chosen_score": 2, "rejected_score": 2}],
        [25],
    ),
    "prompts that are nearly the same": (
        False,
        [
            {"prompt": "what, now?\n", "chosen": "b", "rejected": "d"},
            {"prompt": "What now\n", "chosen": "b", "rejected": "d"},
        ],
        [25, 26],
    ),
    "tokens across the boundary": (
        False,
        [{"prompt": "the rob", "chosen": "ot", "rejected": "x"}],
        [25],
    ),
}


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_clean_file_has_no_findings(byte_tokenizer: Tokenizer, tmp_path: Path) -> None:
    report = preflight(write(tmp_path, CLEAN), byte_tokenizer, LONGEST)
    assert (report.findings, report.pairs, report.wrong) == ((), len(CLEAN), 0)


@pytest.mark.parametrize("flaw", PLANTED)
def test_a_planted_flaw_is_found_in_its_rows(
    byte_tokenizer: Tokenizer, tmp_path: Path, flaw: str
) -> None:
    wrong, rows, where = PLANTED[flaw]
    tokenizer = byte_tokenizer.allowing_special() if "doubled" in flaw else byte_tokenizer
    report = preflight(write(tmp_path, [*CLEAN, *rows]), tokenizer, LONGEST)
    (found,) = [finding for finding in report.findings if finding.check == flaw]
    assert (found.wrong, found.rows) == (wrong, tuple(where))
    assert report.wrong >= wrong
    expected = {flaw} | ({"special tokens inside texts"} if "doubled" in flaw else set())
    assert {finding.check for finding in report.findings} == expected, "a false alarm"


@pytest.mark.parametrize("allowed", [False, True])
def test_texts_that_are_full_of_special_tokens_are_wrong(
    byte_tokenizer: Tokenizer, tmp_path: Path, allowed: bool
) -> None:
    """Most rows look rendered by a chat template already; read as such, a single one is wrong."""
    tokenizer = byte_tokenizer.allowing_special() if allowed else byte_tokenizer
    rendered = [{**row, "prompt": f"{row['prompt']}<|end|>"} for row in CLEAN]
    (found,) = preflight(write(tmp_path, rendered), tokenizer, LONGEST).findings
    assert (found.check, found.wrong) == ("special tokens inside texts", True)
    (one,) = preflight(write(tmp_path, [*CLEAN, {**rendered[0]}]), tokenizer, LONGEST).findings
    assert one.wrong == allowed


def test_prompts_of_one_group_may_be_nearly_the_same(
    byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    rows = [
        {"prompt": prompt, "chosen": "b", "rejected": "d", "group": "g"}
        for prompt in ("what, now?\n", "what now\n")
    ]
    assert preflight(write(tmp_path, rows), byte_tokenizer, LONGEST).findings == ()


def test_another_system_text_may_prefer_the_other_side(
    byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    kind = {"prompt": "a\n", "chosen": "b", "rejected": "d", "system": "be kind"}
    rude = {"prompt": "a\n", "chosen": "d", "rejected": "b", "system": "be rude"}
    assert preflight(write(tmp_path, [kind, rude]), byte_tokenizer, LONGEST).findings == ()


def test_unknown_words_are_counted(tmp_path: Path) -> None:
    """All but the end of sequence and the words that are known: 2 of 24 known, or none."""
    words = Tokenizer.from_words(["the", "robot", "number", "waits", "it", "stops", "goes"])
    (found,) = [
        finding
        for finding in preflight(write(tmp_path, CLEAN), words, LONGEST).findings
        if finding.check == "unknown tokens"
    ]
    assert found.wrong
    assert len(found.rows) == 24
    known = sum(4 + 2 + 2 + 2 for _ in CLEAN)  # of prompt, both sides, both ends
    unknown = sum(3 + row["chosen"].count(" now") + row["rejected"].count(" on") for row in CLEAN)
    assert f"{unknown / (known + unknown):.0%} of all tokens" in found.text


@pytest.mark.parametrize(("more", "what"), [(20, "longer"), (-20, "shorter")])
def test_labels_that_length_explains_are_told(
    byte_tokenizer: Tokenizer, tmp_path: Path, more: int, what: str
) -> None:
    long, short = "chosen" if more > 0 else "rejected", "rejected" if more > 0 else "chosen"
    rows = [
        {"prompt": f"{number}\n", long: "x " * (8 + number % 3), short: f"y {number}"}
        for number in range(24)
    ]
    rows[4][long], rows[4][short] = rows[4][short], rows[4][long]
    (found,) = preflight(write(tmp_path, rows), byte_tokenizer, LONGEST).findings
    assert found.check == "length explains the labels"
    assert f"in 96% of the pairs the {what} completion" in found.text


def test_a_template_that_leaves_out_the_beginning_is_told(
    byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    plain = Tokenizer(byte_tokenizer.backend, eos_id=1, chat_template=template)
    (found,) = preflight(write(tmp_path, CLEAN), plain, LONGEST).findings
    assert (found.check, found.wrong) == ("no beginning of sequence", False)


def test_a_file_of_which_nothing_fits_is_wrong(byte_tokenizer: Tokenizer, tmp_path: Path) -> None:
    report = preflight(write(tmp_path, CLEAN), byte_tokenizer, 3)
    assert (report.pairs, report.wrong) == (0, 1)
    with pytest.raises(WorkbenchError, match="no file"):
        preflight(tmp_path / "none.jsonl", byte_tokenizer, LONGEST)


def test_the_shipped_pairs_have_nothing_wrong(byte_tokenizer: Tokenizer) -> None:
    for name in ("assistant", "brief"):
        assert preflight(name, byte_tokenizer, 4096).wrong == 0
        assert read_pairs(name).skipped == []
