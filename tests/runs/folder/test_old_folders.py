"""Run folders as they were written before methods had names still open, evaluate and resume."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from workbench.data.split import split_by_group
from workbench.errors import WorkbenchError
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.reference.values import cache_key

SETTINGS = ("loss", "beta", "lr", "label_smoothing", "normalize")


NEW_IN_STATES = ("config", "held_out", "by_time", "events_sha256")


def without_hashes(folder: Path) -> None:
    """Rewrite a run folder as format 1 was: nothing in it can be checked."""
    config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    for name in ("format", "sha256", "checkpoint_minutes"):
        del config[name]
    (folder / "config.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
    for state in folder.glob("checkpoints/*/state.json"):
        numbers = json.loads(state.read_text(encoding="utf-8"))
        kept = {name: value for name, value in numbers.items() if name not in NEW_IN_STATES}
        state.write_text(json.dumps(kept), encoding="utf-8")
        for name in ("files.json", "events.jsonl"):
            (state.parent / name).unlink(missing_ok=True)
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("sha256", None)
        path.write_text(json.dumps(content), encoding="utf-8")


def age(folder: Path) -> None:
    """Rewrite a run folder as the first versions wrote it.

    Their config has no method and holds every parameter of every loss; their checkpoints hold five
    settings and no state of the batches; their skipped rows stood in set_aside.jsonl. Which rows
    were held out was not kept.
    """
    without_hashes(folder)
    path = folder / "config.toml"
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    world = config.pop("world")
    del config["method"]
    config |= {"label_smoothing": 0.1, "normalize": False}
    path.write_text(tomli_w.dumps({**config, "world": world}), encoding="utf-8")
    for state in folder.glob("checkpoints/*/state.json"):
        numbers = json.loads(state.read_text(encoding="utf-8"))
        del numbers["batches"]
        settings = {"label_smoothing": 0.1, "normalize": False, **numbers["settings"]}
        numbers["settings"] = {name: settings[name] for name in SETTINGS}
        state.write_text(json.dumps(numbers), encoding="utf-8")
    (folder / "skipped.jsonl").rename(folder / "set_aside.jsonl")
    (folder / "data.json").unlink()


@pytest.fixture
def stopped(make_recorded: Callable[..., Run]) -> Run:
    """A run that was left after step 7 of 10, its last checkpoint after step 6."""
    run = make_recorded(checkpoint_every=3, loss="cdpo", label_smoothing=0.2)
    while run.step < 7:
        next(run)
    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(max(folder.glob("checkpoints/step-*")) / "policy.safetensors")


def test_it_opens_with_the_same_numbers(stopped: Run) -> None:
    assert stopped.folder is not None
    before = load_run(stopped.folder)
    age(stopped.folder)
    after = load_run(stopped.folder)
    assert after.evaluate() == before.evaluate()
    assert after.settings == before.settings
    assert after.settings.label_smoothing == 0.2
    assert after.method.name == "preference"


def test_it_resumes_bit_for_bit(stopped: Run, tmp_path: Path) -> None:
    assert stopped.folder is not None
    old = tmp_path / "old"
    shutil.copytree(stopped.folder, old)
    age(old)
    ends = []
    for folder in (stopped.folder, old):
        run = Run.resume(folder)
        assert run.step == 6
        list(run)
        ends.append(weights(folder))
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


SIX = ("film", "film", "book", "hotel", "game", "phone")
OLD_KEYS: dict[str, tuple[tuple[str, ...], list[Any]]] = {  # a group that is text, else the prompt
    "prompts that differ in case": (("film", "Film", *SIX[2:]), [None] * 6),
    "groups across prompts": (("film", "film", "book", "book", "game", "game"), list("abbccd")),
    "groups that are numbers": (SIX, [1, 2, 1, 2, 1, 2]),
    "numbers and texts": (("film", "book", *SIX[2:]), [1, "a", "a", 1, 2, 2]),
}


@pytest.mark.parametrize("kind", OLD_KEYS)
def test_rows_are_held_out_as_they_were_then(
    make_recorded: Callable[..., Run], tmp_path: Path, kind: str
) -> None:
    names, groups = OLD_KEYS[kind]
    rows = [
        {"prompt": f"the {name} was", "chosen": f"good {'so ' * number}", "rejected": "bad"}
        | ({} if group is None else {"group": group})
        for number, (name, group) in enumerate(zip(names, groups, strict=True))
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    keys = [row["group"] if isinstance(row.get("group"), str) else row["prompt"] for row in rows]
    train, held_out = split_by_group(keys, str, 2, 0)
    run = make_recorded(data=str(data), held_out=0, max_steps=1)
    list(run)
    assert run.folder is not None
    without_hashes(run.folder)
    config = run.folder / "config.toml"
    config.write_text(config.read_text().replace("held_out = 0", "held_out = 2"))
    hash = cache_key("", [run.data.train[row] for row in [*train, *held_out]])
    for state in run.folder.glob("checkpoints/*/state.json"):
        state.write_text(json.dumps({**json.loads(state.read_text()), "data_hash": hash}))
    (run.folder / "data.json").unlink()
    again = load_run(run.folder)
    assert [text.row - 1 for text in again.data.held_out_texts] == held_out


def test_the_rows_that_were_held_out_are_those_of_the_record(
    make_recorded: Callable[..., Run], tmp_path: Path
) -> None:
    """Whatever today's rule would hold out."""
    lines = [
        json.dumps({"prompt": f"the {name} was", "chosen": "good", "rejected": "bad"})
        for name in SIX[1:]
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(lines))
    run = make_recorded(data=str(data), held_out=0, max_steps=1)
    list(run)
    assert run.folder is not None
    for held_out in ([1], [5], [2, 4]):
        train = [item for row, item in enumerate(run.data.train, 1) if row not in held_out]
        kept = [run.data.train[row - 1] for row in held_out]
        known = {"hash": cache_key("", [*train, *kept]), "held_out": held_out, "truncated": []}
        (run.folder / "data.json").write_text(json.dumps(known))
        again = load_run(run.folder)
        assert [text.row for text in again.data.held_out_texts] == held_out
        assert again.data.held_out == kept


def test_a_file_that_has_changed_since_is_refused(
    make_recorded: Callable[..., Run], tmp_path: Path
) -> None:
    names = ("film", "book", "hotel", "game", "phone")
    lines = [
        json.dumps({"prompt": f"the {name} was", "chosen": "good", "rejected": "bad"})
        for name in names
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(lines))
    run = make_recorded(data=str(data), held_out=2, max_steps=1)
    list(run)
    assert run.folder is not None
    load_run(run.folder).evaluate()
    for changed in ([*lines[1:], lines[0]], lines[:-1], [*lines, lines[0].replace("film", "car")]):
        data.write_text("\n".join(changed))
        with pytest.raises(WorkbenchError, match=r"pairs\.jsonl: the .* had data_hash"):
            load_run(run.folder)
    data.write_text("\n".join(lines))
    (run.folder / "data.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"data\.json is not as it was written"):
        again = load_run(run.folder)
    assert again.data.held_out == run.data.held_out
