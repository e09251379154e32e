"""The tree, layers, snippets and commands of the README are the real ones."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import run
import workbench
from workbench.cli.flags import parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
TREE = next(text for _, text in BLOCKS if "workbench/\n" in text)
SNIPPETS = [text for language, text in BLOCKS if language == "python"]
COMMANDS = re.findall(
    r"^python run\.py([^#\n]*)", "".join(text for _, text in BLOCKS), re.MULTILINE
)
LAYERS = re.compile(r"`cli`(?: -> `[a-z_| ]+`)+")


# -- the tree ---------------------------------------------------------------------------------


def named(tree: str) -> list[str]:
    """The folders of a tree, indented by two spaces per level, each with its path."""
    found: list[str] = []
    above: list[str] = []
    for indent, name, words in re.findall(r"^((?:  )*)(\w+)/ *(.*)$", tree, re.MULTILINE):
        above[len(indent) // 2 :] = [name]
        found.append("/".join(above))
        assert words or name == "workbench", f"{name} is not described"
    return found


def existing(root: Path) -> set[str]:
    """All folders of the package and those beside it, without what git ignores."""
    lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [".*", *(line.removesuffix("/") for line in lines if line and line[0] != "#")]

    def kept(folder: Path) -> bool:
        name = folder.relative_to(root).as_posix()
        either = (f"/{name}", folder.name)  # a pattern with a slash in front is a path
        return not any(fnmatch(one, pattern) for one in either for pattern in ignored)

    below = (
        path for path in (root / "workbench").rglob("*") if path.is_dir() and any(path.iterdir())
    )
    folders = filter(kept, [*filter(Path.is_dir, root.iterdir()), *below])
    return {folder.relative_to(root).as_posix() for folder in folders}


def test_the_tree_names_exactly_the_folders_that_exist() -> None:
    listed = named(TREE)
    assert len(set(listed)) == len(listed)
    assert set(listed) == existing(ROOT)


def test_a_folder_that_is_missing_or_made_up_is_noticed(tmp_path: Path) -> None:
    for folder in (
        "workbench/core/fast",
        "workbench/runs",
        "tests/core",
        "runs/mine",
        ".git/hooks",
        "a.egg-info",
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file.py").touch()
    (tmp_path / "workbench" / "core" / "__pycache__").mkdir()
    (tmp_path / ".gitignore").write_text("# made\n__pycache__/\n*.egg-info/\n\n/runs/\n")
    inner = {"workbench/core", "workbench/core/fast", "workbench/runs"}
    assert existing(tmp_path) == {"workbench", "tests"} | inner
    tree = (
        "workbench/\n  core/     words\n    fast/   words\n            more words/\ntests/ words\n"
    )
    assert named(tree) == ["workbench", "workbench/core", "workbench/core/fast", "tests"]


def test_the_layers_are_those_that_the_imports_are_checked_for() -> None:
    (line,) = LAYERS.findall(README)
    told = [sorted(re.findall(r"\w+", layer)) for layer in line.split(" -> ")]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = settings["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    checked = [sorted(re.findall(r"\w+", layer)) for layer in layers]
    assert told == [
        layer for layer in checked if layer not in (["__main__"], ["paths"], ["errors"])
    ]


# -- the snippets -----------------------------------------------------------------------------


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch, model_folder: Path, small: dict[str, Any]) -> None:
    """Configurations of a snippet train a very small base model for some steps."""
    short = partial(workbench.TrainConfig, **{**small, "model": str(model_folder)})
    monkeypatch.setattr(workbench, "TrainConfig", short)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("code", SNIPPETS, ids=lambda code: code.split("\n")[0])
def test_snippets_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    if "run" in names:
        *steps, reward = capsys.readouterr().out.split()
        assert int(steps[-1]) == names["run"].step > 5
        assert -1 <= float(reward) <= 1


def test_the_snippet_of_a_loss_gives_one_value_per_pair() -> None:
    (code,) = [code for code in SNIPPETS if "LOSSES" in code]
    *lines, last = code.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    values = eval(last, names)
    # log-ratios 2 and -1, margin 3: log(1 + exp(-0.1 * 3)) = 0.5544
    assert values.tolist() == pytest.approx([0.5544], abs=1e-4)


# -- the commands -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_those_of_run_py(line: str) -> None:
    command, *arguments = shlex.split(line) or ["lab"]
    if command in run.FORWARDED:
        assert parse([command, *arguments])
    else:
        assert f"\n  {command} " in (run.__doc__ or "")


def test_every_command_is_shown() -> None:
    for command in run.FORWARDED:
        assert f"run.py {command} " in README
