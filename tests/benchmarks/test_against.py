"""The workbench at another commit: where its code comes from, and what it is compared with."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import against
from benchmarks.against import OURS, checkout, choosing
from benchmarks.report import outcome_rows
from benchmarks.side_by_side import ROOT, Contender, ContenderError, Outcome, measure

CONTENDER = """
from benchmarks.contender import serve
from benchmarks.version import VERSION


def work(setting, turns):
    turns.ready(precision="float32", version=VERSION, told=setting)
    while True:
        turns.step_done()


serve(work)
"""
PEER = Contender("peer", ("-m", "benchmarks.some_peer"))


def write_checkout(folder: Path, version: str) -> Path:
    code = folder / "benchmarks"
    code.mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks" / "contender.py", code)
    for name, text in {
        "__init__": "",
        "ours": CONTENDER,
        "version": f"VERSION = {version!r}",
    }.items():
        (code / f"{name}.py").write_text(text)
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    program = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout


def test_each_side_runs_the_code_of_its_own_checkout(tmp_path: Path) -> None:
    new, old = (write_checkout(tmp_path / name, name) for name in ("new", "old"))
    with choosing(str(old), peers=False) as choose:
        contenders = choose([Contender("workbench", OURS, {"lora": 16}, root=new), PEER])
    ours, older = measure(contenders, rounds=1, steps=1)
    assert (ours.facts["version"], older.facts["version"]) == ("new", "old")
    assert older.contender.name == "workbench at old"
    assert ours.facts["told"]["lora"] == older.facts["told"]["lora"] == 16


def test_who_takes_part(tmp_path: Path) -> None:
    old = str(write_checkout(tmp_path / "old", "old"))
    both = [Contender("a", (*OURS, "train")), Contender("b", (*OURS, "train"))]
    chosen = {}
    for given, peers in ((None, True), (None, False), (old, True), (old, False)):
        with choosing(given, peers) as choose:
            chosen[given, peers] = [one.name for one in choose([*both, PEER])]
    assert chosen == {
        (None, True): ["a", "b", "peer"],
        (None, False): ["a", "b"],
        (old, True): ["a", "b", "peer", "a at old", "b at old"],
        (old, False): ["a", "b", "a at old", "b at old"],
    }


def test_ratio_is_to_the_one_with_the_same_settings() -> None:
    seconds = {"a": 1.0, "b": 4.0, "a at old": 3.0, "b at old": 8.0}
    outcomes = [
        Outcome(Contender(name, (), beside=name[0]), [took], 1, {"precision": "bf16"})
        for name, took in seconds.items()
    ]
    assert outcome_rows("tiny", "pairs/s", 1, outcomes)["ratio"].to_list() == [1, 1, 3, 2]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_gets_a_checkout_for_as_long_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = write_checkout(tmp_path / "here", "first")
    git(here, "init", "--quiet")
    git(here, "add", ".")
    git(here, "commit", "--quiet", "--message", "first")
    (here / "benchmarks" / "version.py").write_text("VERSION = 'second'")
    monkeypatch.setattr(against, "ROOT", here)
    with checkout("HEAD") as folder:
        assert (folder / "benchmarks" / "version.py").read_text() == "VERSION = 'first'"
    assert not folder.exists()
    assert len(git(here, "worktree", "list").splitlines()) == 1
    with pytest.raises(ContenderError, match="'nothing' is neither a folder nor a commit"):
        checkout("nothing").__enter__()


def test_folder_without_benchmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContenderError, match=r"no benchmarks/ours\.py"):
        checkout(str(tmp_path)).__enter__()
