"""What is damaged in a run's folder is named and set aside, and the run ends as it would have."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.small_runs import differences, outcome
from workbench.errors import WorkbenchError
from workbench.runs.folder.made_with import made_with
from workbench.runs.folder.record import Record
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.view.html.elements import facts
from workbench.view.live.run_state import RunState

MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def made() -> list[tuple[Path, dict]]:
    """What `two` copies, once it is there."""
    return []


@pytest.fixture
def two(
    make_recorded: MakeRun,
    made: list[tuple[Path, dict]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict]:
    """A run that was left after step 8, checkpoints at 2, 4, 6, and what it comes to in the end."""
    if not made:
        place = tmp_path_factory.mktemp("two")
        left, whole = (
            make_recorded(out=str(place / name), checkpoint_every=2) for name in ("left", "whole")
        )
        while left.step < 7:
            next(left)
        list(whole)
        assert left.record is not None
        left.record.release()
        made.append((place / "left", outcome(place / "whole")))
    ((source, comes_to),) = made
    return shutil.copytree(source, tmp_path / "left"), comes_to


def contents(folder: Path) -> dict[Path, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path: path.read_bytes() for path in files}


def flip(path: Path, place: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    "part", ["policy.safetensors", "optimizer.safetensors", "state.json", "events.jsonl",
             "files.json"],
)  # fmt: skip
def test_a_flipped_bit_in_a_checkpoint_is_never_trained_on(
    two: tuple[Path, dict], part: str
) -> None:
    folder, whole = two
    flip(folder / "checkpoints" / "step-000006" / part)
    with pytest.warns(UserWarning, match=r"step-000006 is damaged and kept as .*damaged-1"):
        run = Run.resume(folder)
    assert run.step == 4
    list(run)
    assert differences(outcome(folder), whole) == []
    assert (folder / "checkpoints" / "step-000006.damaged-1" / part).exists()


def test_without_a_whole_checkpoint_it_begins_anew(
    two: tuple[Path, dict],
) -> None:
    folder, whole = two
    for step in (4, 6):
        flip(folder / "checkpoints" / f"step-{step:06d}" / "optimizer.safetensors")
    with pytest.warns(UserWarning, match=r"step-00000[246] is damaged"):
        run = Run.resume(folder)
    assert run.step == 0
    list(run)
    assert differences(outcome(folder), whole) == []


def test_checkpoints_that_were_passed_over_do_not_count_as_newer(
    two: tuple[Path, dict],
) -> None:
    folder, _ = two
    for path in (folder / "checkpoints").glob("*/optimizer.safetensors"):
        path.unlink()
    with pytest.warns(UserWarning, match=r"step-00000[246] is damaged .* lacks what the run goes"):
        run = Run.resume(folder)
    while run.step < 3:
        next(run)
    assert load_run(folder).step == 2
    assert Run.resume(folder).step == 2


def test_a_config_whose_changes_are_accepted_is_not_replaced(
    two: tuple[Path, dict],
) -> None:
    folder, _ = two
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.001", 'lr = "0,002"'))
    before = contents(folder)
    with pytest.raises(WorkbenchError, match=r"config\.toml is not a run's config"):
        Run.resume(folder, accept_changes=True)
    assert contents(folder) == before


def test_a_setting_of_a_later_version_is_told_in_one_line() -> None:
    with pytest.raises(WorkbenchError, match=r"checkpoint of step 6 can't be read.*'later'"):
        made_with({"step": 6, "config": {"later": 1}})


def test_a_folder_whose_config_was_lost_is_not_written_into(make_recorded: MakeRun) -> None:
    run = make_recorded()
    next(run)
    assert run.folder is not None
    (run.folder / "config.toml").unlink()
    before = contents(run.folder)
    with pytest.raises(WorkbenchError, match="already holds a run"):
        make_recorded()
    assert contents(run.folder) == before


@pytest.mark.parametrize("name", ["events.jsonl", "data.json", "self_test.json", "config.toml"])
@pytest.mark.parametrize("content", [b"", b"\0\0", None])
def test_another_damaged_file_is_written_anew(
    two: tuple[Path, dict], name: str, content: bytes | None
) -> None:
    folder, whole = two
    path = folder / name
    before = path.read_bytes()
    flip(path, len(before) // 3) if content is None else path.write_bytes(content)
    if content is None and name == "config.toml":
        path.write_bytes(b"seed = = 1\n" + before)
    with pytest.warns(UserWarning, match=name):
        list(Run.resume(folder))
    assert differences(outcome(folder), whole) == []


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("seed = 0", "seed = 5 (0)"), ("batch_size = 8", "batch_size = 5 (8)"),
        ("warmup = 2", "warmup = 5 (2)"), ("epochs = 2", "epochs = 5 (2)"),
    ],
)  # fmt: skip
def test_settings_that_differ_are_named_and_refused_unless_told(
    two: tuple[Path, dict], setting: str, told: str
) -> None:
    folder, _ = two
    config = folder / "config.toml"
    changed = setting[: setting.index("=") + 2] + "5"
    config.write_text(config.read_text().replace(f"\n{setting}\n", f"\n{changed}\n", 1))
    before = contents(folder)
    with pytest.raises(WorkbenchError) as caught:
        Run.resume(folder)
    assert told in str(caught.value)
    assert "--accept-changes" in str(caught.value)
    assert contents(folder) == before
    name = changed.split(" ")[0]
    with pytest.warns(UserWarning, match="differs from what the checkpoint was made with"):
        read = load_run(folder)
    assert str(getattr(read.config, name)) == setting.split(" ")[-1]
    run = Run.resume(folder, accept_changes=True)
    assert getattr(run.config, name) == 5
    assert run.step == 6


def test_a_learning_rate_that_is_accepted_comes_into_force(
    two: tuple[Path, dict],
) -> None:
    folder, _ = two
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("lr = 0.001", "lr = 0.002"))
    run = Run.resume(folder, accept_changes=True)
    while run.step < 7:
        next(run)
    assert run.settings.lr == 0.002


def test_before_the_first_checkpoint_a_changed_config_is_refused(make_recorded: MakeRun) -> None:
    run = make_recorded()
    next(run)
    assert run.folder is not None
    config = run.folder / "config.toml"
    config.write_text(config.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(WorkbenchError, match="is not as it was written when the run was made"):
        Run.resume(run.folder)
    assert Run.resume(run.folder, accept_changes=True).config.seed == 1


def test_strangers_among_the_checkpoints_are_skipped(
    two: tuple[Path, dict],
) -> None:
    folder, whole = two
    checkpoints = folder / "checkpoints"
    (checkpoints / "step-").mkdir()
    (checkpoints / "step-1e3").write_text("x")
    (checkpoints / "step-000007 copy").mkdir()
    list(Run.resume(folder))
    assert differences(outcome(folder), whole) == []
    (checkpoints / "step-000099").symlink_to("step-000006")
    with pytest.warns(UserWarning, match="it is that of step 6"):
        assert load_run(folder).step == 10


def test_a_newer_format_is_refused(two: tuple[Path, dict]) -> None:
    folder, _ = two
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("format = 2", "format = 3"))
    with pytest.raises(WorkbenchError, match="is of format 3, this version reads up to 2"):
        Run.resume(folder)
    with pytest.raises(WorkbenchError, match="of format 3"):
        load_run(folder)


def test_curves_that_were_changed_are_told(make_recorded: MakeRun) -> None:
    run = make_recorded()
    list(run)
    assert run.folder is not None
    events = run.folder / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    changed = json.loads(lines[3])
    changed["metrics"]["loss"] = 0.1
    events.write_text("".join([*lines[:3], json.dumps(changed) + "\n", *lines[4:]]))
    with pytest.warns(UserWarning, match="events up to step 10 are not those of its checkpoint"):
        Record(run.folder).events()
    events.write_text("".join([*lines[:3], "{\n", *lines[4:]]))
    with pytest.warns(UserWarning, match="line 4 is no event"):
        Record(run.folder).events()


def test_a_damaged_checkpoint_is_not_shown_as_another(make_recorded: MakeRun) -> None:
    run = make_recorded(checkpoint_every=4)
    list(run)
    assert run.folder is not None
    flip(run.folder / "checkpoints" / "step-000010" / "policy.safetensors")
    with pytest.warns(UserWarning, match="step-000010 is damaged"):
        assert load_run(run.folder).step == 8
    with pytest.raises(WorkbenchError, match="step-000010 is damaged"):
        load_run(run.folder, step=10)
    shutil.rmtree(run.folder / "checkpoints" / "step-000010")
    with pytest.warns(UserWarning, match="had a checkpoint of step 10"):
        assert load_run(run.folder).step == 8


def test_what_is_damaged_is_told_to_whoever_shows_the_run(
    two: tuple[Path, dict],
) -> None:
    folder, _ = two
    flip(folder / "checkpoints" / "step-000006" / "state.json")
    with pytest.warns(UserWarning, match="step-000006 is damaged"):
        run = Run.resume(folder)
    (line,) = run.warned
    assert "step-000006 is damaged and kept as" in line
    assert line in str(facts(RunState.of(run)))


def test_an_event_that_finds_no_space_leaves_nothing(
    make_recorded: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_recorded()
    next(run)
    assert run.record is not None
    path, opened = run.record.folder / "events.jsonl", Path.open
    before, told = path.read_bytes(), list(run.events)

    def half(self: Path, mode: str = "r", *rest: object, **more: object) -> object:
        file = opened(self, mode, *rest, **more)  # type: ignore[call-overload]
        if self == path and mode == "ab":
            file.write(b'{"event": "st')
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", half)
        with pytest.raises(WorkbenchError, match="No space left"):
            next(run)
    assert (path.read_bytes(), run.events) == (before, told)
