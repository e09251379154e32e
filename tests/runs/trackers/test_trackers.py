"""What a tracker shows is what events.jsonl holds; and whatever it does, the run stays the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from workbench.cli.command_settings import Track
from workbench.cli.commands.carry_out import carry_out
from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.runs.trackers import adapters
from workbench.runs.trackers.following import following, track
from workbench.train.events import StepEvent

MakeRun = Callable[..., Run]
Values = dict[tuple[str, int], Any]


@pytest.fixture
def run(make_recorded: MakeRun) -> Run:
    """Six steps with an evaluation at the beginning, the middle and the end."""
    return make_recorded(max_steps=6, eval_every=4, samples=1, checkpoint_every=3)


def folder_of(run: Run) -> Path:
    assert run.folder is not None
    return run.folder


def recorded(folder: Path) -> Values:
    """The numbers of events.jsonl under the names that they have in a tracker."""
    values: Values = {}
    for line in (folder / "events.jsonl").read_text("utf-8").splitlines():
        event = json.loads(line)
        for name, value in event.get("metrics", {}).items():
            if event["event"] == "step":
                name = "train/learning_rate" if name == "lr" else f"train/{name}"
            else:
                name = name.replace("held_out/", "eval/")
            values[name, event["step"]] = value
        if event["event"] == "step":
            values["train/epoch", event["step"]] = event["epoch"]
    return values


def opened(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(folder: Path) -> Values:
    """The numbers in TensorBoard's files, as it reads them; each step may come once."""
    found, values = opened(folder), {}
    for name in found.Tags()["scalars"]:
        for event in found.Scalars(name):
            assert (name, event.step) not in values
            values[name, event.step] = event.value
    return values


def assert_same(found: Values, wanted: Values) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():  # TensorBoard keeps float32
        np.testing.assert_equal(np.float32(found[key]), np.float32(value), err_msg=str(key))


def test_tensorboard_shows_what_the_record_holds(run: Run) -> None:
    run.control.set(beta=0.2)
    list(following(run, "tensorboard"))
    folder = folder_of(run)
    found = scalars(folder / "tensorboard")
    assert_same(found, recorded(folder))
    for name in ("loss", "rewards/margins", "rewards/chosen", "grad_norm", "learning_rate"):
        assert ("train/" + name, 6) in found
    assert ("eval/rewards/margins", 4) in found
    assert found["train/beta", 1] == pytest.approx(0.2)
    files = opened(folder / "tensorboard")
    (text, *_) = files.Tensors("samples/0/text_summary")
    assert f"    {run.prompts[0]}" in text.tensor_proto.string_val[0].decode()
    assert "beta" in files.Tensors("changes/0/text_summary")[0].tensor_proto.string_val[0].decode()
    hparams = files.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"rewards" not in hparams
    assert b"batch_size" in hparams
    assert b"world/topics" in hparams


def test_a_run_that_goes_on_is_shown_once(run: Run) -> None:
    folder = folder_of(run)
    for event in following(run, "tensorboard"):
        if isinstance(event, StepEvent) and event.step == 5:
            break
    del run
    resumed = Run.resume(folder)
    assert resumed.step == 3
    list(following(resumed, "tensorboard"))
    assert_same(scalars(folder / "tensorboard"), recorded(folder))


def test_an_old_run_is_shown_afterwards_and_again(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    list(run)
    for _ in range(2):
        assert carry_out(Track(source=str(run.folder), folder=tmp_path / "board")) == 0
    assert f"{len(run.events)} events of" in capsys.readouterr().out
    assert_same(scalars(tmp_path / "board"), recorded(folder_of(run)))


class Library:
    """Stands for W&B and for Trackio: keeps what it is told."""

    Settings = dict

    def __init__(self, first: int = 0) -> None:
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.ends, self.starting_step, self.asked = 0, first, {}

    def init(self, **asked: Any) -> Library:
        self.asked = asked
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))

    def Table(self, columns: list[str], data: list[list[str]]) -> Any:  # noqa: N802
        return columns, data

    def Api(self) -> Any:  # noqa: N802
        return self

    def runs(self, project: str) -> list[Any]:
        if not self.folder:
            raise ValueError(f"Project {project!r} does not exist")
        names = ("other", adapters.Shown(Path(self.folder), {}).id)
        return [SimpleNamespace(name=n, delete=lambda n=n: self.deleted.append(n)) for n in names]

    def finish(self) -> None:
        self.ends += 1

    folder: str = ""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, run: Run) -> Iterator[Library]:
    library = Library()
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, library)
    return library


@pytest.mark.parametrize("name", ["wandb", "trackio"])
@pytest.mark.parametrize("again", [False, True])
def test_other_trackers_get_the_same(run: Run, library: Library, name: str, again: bool) -> None:
    library.folder = str(run.folder) if again else ""
    list(following(run, name))
    flat = {(key, step): value for step, values in library.logged for key, value in values.items()}
    tables = {key: flat.pop(key) for key in list(flat) if key[0] == "samples"}
    assert flat == recorded(folder_of(run))
    assert tables["samples", 0][0] == ["prompt", "reference", "policy"]
    assert library.ends == 1
    assert library.asked["config"]["beta"] == run.config.beta
    own = library.asked["id" if name == "wandb" else "name"]
    assert own.startswith("run-")
    assert library.deleted == ([own] if again and name == "trackio" else [])


def test_wandb_is_given_no_step_that_it_has(run: Run, library: Library) -> None:
    library.starting_step = 5
    list(following(run, "wandb"))
    assert {step for step, _ in library.logged} == {5, 6}


class Full:
    """A tracker that fails at a call of `log`."""

    def __init__(self, at: int) -> None:
        self.left = at

    def log(self, values: Any, step: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device\nreally")

    def table(self, name: str, rows: Any, step: int) -> None:
        pass

    def close(self) -> None:
        raise ConnectionError


def timeless(run: Run) -> list[Any]:
    return [
        {n: v for n, v in event.metrics.items() if n != "pairs_per_second"}
        for event in run.events
        if isinstance(event, StepEvent)
    ]


@pytest.mark.parametrize(("at", "why"), [(3, "No space"), (99, "ConnectionError")])
def test_a_tracker_that_fails_is_told_once_and_changes_nothing(
    run: Run, make_recorded: MakeRun, monkeypatch: pytest.MonkeyPatch, at: int, why: str
) -> None:
    plain = make_recorded("plain", max_steps=6, eval_every=4, samples=1, checkpoint_every=3)
    list(plain)
    monkeypatch.setitem(adapters.ADAPTERS, "tensorboard", lambda shown: Full(at))  # type: ignore[call-overload]
    told: list[str] = []
    assert list(following(run, "tensorboard", told.append)) == run.events
    assert run.finished
    assert timeless(run) == timeless(plain)
    (line,) = told
    assert line.startswith("tensorboard is left out, the run goes on: ")
    assert why in line
    assert "\n" not in line
    with pytest.raises(WorkbenchError, match=f"tensorboard failed: .*{why}"):
        track(folder_of(run), "tensorboard")


@pytest.mark.parametrize(("name", "extra"), [("wandb", "track"), ("trackio", "trackio"),
                                             ("tensorboard", "track")])  # fmt: skip
def test_what_is_not_installed_is_one_line_that_names_the_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    told: list[str] = []
    next(following(run, name, told.append))
    assert len(told) == 1
    assert f"pip install 'dpo-workbench[{extra}]'" in told[0]
    with pytest.raises(WorkbenchError, match=rf"dpo-workbench\[{extra}\]"):
        track(folder_of(run), name)


def test_what_cannot_be_tracked_is_refused(make_run: MakeRun, run: Run, library: Library) -> None:
    with pytest.raises(WorkbenchError, match="give it one by out="):
        next(following(make_run(), "tensorboard"))
    with pytest.raises(WorkbenchError, match="accepted: tensorboard, wandb, trackio"):
        next(following(run, "mlflow"))
    with pytest.raises(WorkbenchError, match="set TRACKIO_DIR instead"):
        track(folder_of(run), "trackio", Path("elsewhere"))
