"""The command: names, options, and that one failure doesn't keep the rest from running."""

import argparse
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import papers, suite
from benchmarks.side_by_side import ContenderError
from benchmarks.suite import Benchmark


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None, str]]:
    """What was measured: name, rounds, pairs; the benchmark "sick" fails."""
    measured: list[tuple[str, int | None, str]] = []

    def fake(name: str) -> Benchmark:
        def measure(given: argparse.Namespace) -> None:
            measured.append((name, given.rounds, given.pairs))
            if name == "sick":
                raise ContenderError("TRL died (exit code 1); its last words:\nno memory")

        return Benchmark("words", 2, measure)

    monkeypatch.setattr(suite, "BENCHMARKS", {name: fake(name) for name in ("a", "sick", "b")})
    return measured


def test_all_of_them_without_names(
    done: list[tuple[str, int | None, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main([]) == 1
    assert [name for name, _, _ in done] == ["a", "sick", "b"]
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "a, sick, b: about 6 min on two cores."
    assert said.err.startswith("error: TRL died (exit code 1); its last words:\nno memory\n")
    assert said.err.splitlines()[-1] == "failed: sick"


def test_some_with_their_options(done: list[tuple[str, int | None, str]]) -> None:
    assert suite.main(["b", "a", "--rounds", "3", "--pairs", "my pairs.json"]) == 0
    assert done == [("b", 3, "my pairs.json"), ("a", 3, "my pairs.json")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["c"], "unknown: c; accepted: a, sick, b"),
        (["a", "--no-peers"], "unknown: a; accepted: short, short_4, long_prompts,"),
        (["a", "--against", "HEAD"], "unknown: a; accepted: short, short_4, long_prompts,"),
        (["--rounds", "0"], "'0' is not accepted: a whole number from 1"),
        (["--rounds", "many"], "'many' is not accepted: a whole number from 1"),
    ],
)
def test_slips_are_named_before_anything_runs(
    done: list[tuple[str, int | None, str]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        suite.main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert not done


def test_a_process_that_fails_is_an_error() -> None:
    measure = suite.alone("-c", "raise SystemExit(3)")
    with pytest.raises(ContenderError, match="exit code 3"):
        measure(argparse.Namespace())


def test_names_are_those_that_the_help_lists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        suite.main(["--help"])
    words = capsys.readouterr().out
    assert all(f"  {name} " in words for name in suite.BENCHMARKS)


def test_against_nothing_measures_nothing(
    done: list[tuple[str, int | None, str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(suite, "BESIDE_PEERS", ("a",))
    assert suite.main(["--against", str(tmp_path)]) == 1
    assert "has no benchmarks/ours.py" in capsys.readouterr().err
    assert not done


def test_published_results_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    found = suite.arguments(["papers", "ipo", "kto"])
    assert (found.names, found.papers) == (["papers"], ["ipo", "kto"])
    assert suite.arguments(["papers"]).papers == []
    assert suite.arguments(["short", "papers"]).names == ["short", "papers"]
    with pytest.raises(SystemExit):
        suite.arguments(["papers", "dpo"])
    assert "unknown: dpo; accepted: ipo, rankings, bandit," in capsys.readouterr().err


def test_a_published_result_is_printed_and_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(papers, "FOLDER", tmp_path)
    papers.main(["ipo"])
    said = capsys.readouterr().out
    assert "Azar et al. 2023" in said
    assert said.count("reproduced") == 8
    table = pd.read_csv(tmp_path / "ipo_claims.csv")
    assert list(table.verdict) == ["reproduced"] * 8
    assert set(pd.read_csv(tmp_path / "ipo.csv").loss) == {"ipo", "dpo"}
