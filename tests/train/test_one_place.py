"""A new loss is one decorated function and a new method one file: all else finds them there.

Each test runs a program of its own, because `TrainConfig` reads the losses when it is imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BEGINNING = """
import json, sys, tomllib
from pathlib import Path

import workbench.core.losses
from workbench.core.losses import Parameter, loss

folder = Path(sys.argv[1])
"""

# The one place of a loss: the reward margin of each pair should reach `target`.
LOSS = """
@loss(
    "made up",
    beta=workbench.core.losses.BETA,
    target=Parameter("reward margin that is enough", 0.5, 8.0),
)
def reach(logps, beta=0.2, target=3.0):
    \"\"\"(margin - target)^2 below the target, 0 above.\"\"\"
    return (target - beta * logps.margins).relu() ** 2
"""

# The one place of a method: its loss, and how a batch is scored.
METHOD_FILE = '''
"""Unlikelihood: the rejected completions are made less likely, nothing else."""

import workbench.core.losses
from workbench.core.logps import completion_logps
from workbench.core.losses import Parameter, loss
from workbench.train.method import Outcome
from workbench.train.methods.preference import PairMethod


@loss("made up", "unlikelihood", False, floor=Parameter("nats below which none is pushed", 1, 500))
def unlikely(logps, floor=200.0):
    """The rejected log-probability above minus `floor`."""
    return (logps + floor).relu()


class Unlikelihood(PairMethod):
    name = "unlikelihood"

    def losses(self, policy, batch, settings, reference=None, statistics=None):
        rejected = completion_logps(policy, batch)[1::2]
        loss = self.loss(settings)
        values = loss(rejected, **loss.pick(settings))
        return Outcome(values, {"loss": values.detach(), "logps/rejected": rejected.detach()})


METHOD = Unlikelihood()
'''

MODEL = """
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import save_model
from workbench.runs.run import Run
from workbench.runs.sweep import SWEPT, sweep
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig

world = ReviewsConfig(pairs=48, topics=4)
model = new_model(Reviews(world), BaseConfig(dim=32, layers=1, hidden_dim=48))
save_model(model, folder / "model")
small = {
    "world": world, "pairs_from": "grammar", "batch_size": 8, "epochs": 1, "held_out": 12,
    "samples": 2, "max_new_tokens": 8, "lr": 1e-3, "warmup": 0, "max_length": 64,
    "model": str(folder / "model"),
}


def refused(call):
    try:
        call()
    except WorkbenchError as error:
        return str(error)
    raise AssertionError("it was accepted")
"""


def run(program: str, folder: Path) -> dict:
    found = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_loss_is_one_function(folder: Path) -> None:
    program = (
        BEGINNING
        + LOSS
        + MODEL
        + """
settings = {**small, "loss": "reach", "target": 4.5, "out": str(folder / "run")}
run = Run.create(TrainConfig(**settings))
found = {"method": run.config.method, "beta": run.config.beta, "compares": run.compares}
found["live"] = dict(run.settings)
steps = []
for event in run:
    if type(event).__name__ == "StepEvent":
        steps.append(event.metrics["target"])
        if event.step == 2:
            run.control.set(target=6.0)
found["steps"] = steps
found["config"] = tomllib.loads((folder / "run" / "config.toml").read_text())["target"]
found["summary"] = json.loads((folder / "run" / "summary.json").read_text())["settings"]
found["swept"] = "target" in SWEPT
*_, frame = sweep(TrainConfig(**{**small, "loss": "reach", "samples": 0}), {"target": [1.0, 2.0]})
found["axis"] = sorted(frame["target"].unique().tolist())
found["at 0"] = frame[frame["step"] == 0].set_index("target")["loss"].to_dict()
found["errors"] = [
    refused(lambda: TrainConfig(loss="reach", target=0.1)),
    refused(lambda: run.control.set(target="much")),
    refused(lambda: run.control.set(goal=1)),
    refused(lambda: TrainConfig(loss="rich")),
]
other = Run.create(TrainConfig(**{**small, "loss": "dpo"}))
other.control.set(loss="reach", target=2.0)
list(other)
found["exchanged"] = other.summary("finished")["settings"]
print(json.dumps(found))
"""
    )
    found = run(program, folder)
    assert found["method"] == "preference"
    assert (found["beta"], found["compares"]) == (0.2, True)
    assert found["live"]["target"] == 4.5
    assert found["steps"] == [4.5, 4.5, 6.0, 6.0, 6.0]
    assert found["config"] == 4.5
    assert found["summary"] == {"loss": "reach", "lr": 1e-3, "beta": 0.2, "target": 6.0}
    assert found["swept"]
    assert found["axis"] == [1.0, 2.0]
    # Before the first step all margins are 0: the loss is target^2.
    assert found["at 0"] == pytest.approx({"1.0": 1.0, "2.0": 4.0}, rel=1e-3)
    out_of_range, no_number, unknown, misspelt = found["errors"]
    assert out_of_range == "target=0.1 is not accepted: 0.5 to 8"
    assert no_number == "target='much' is not accepted: 0.5 to 8"
    assert "goal can't be changed during a run" in unknown
    assert "target" in unknown
    assert "reach" in misspelt
    assert found["exchanged"]["loss"] == "reach"
    assert found["exchanged"]["target"] == 2.0


def test_its_parameter_is_a_flag_with_help_and_range(folder: Path) -> None:
    program = (
        BEGINNING
        + LOSS
        + """
import contextlib, io
from workbench.cli.flags import parse

command = parse(["train", "--loss", "reach", "--target", "2.5"])
text = io.StringIO()
with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
    parse(["train", "--help"])
print(json.dumps({
    "loss": command.loss, "target": command.target, "help": text.getvalue(),
    "torch": "torch" in sys.modules,
}))
"""
    )
    found = run(program, folder)
    assert (found["loss"], found["target"]) == ("reach", 2.5)
    help = " ".join(found["help"].replace("│", " ").split())
    assert "--target" in help
    assert "reward margin that is enough" in help
    assert "3.0 (reach)" in help
    assert "[0.5 to 8]" in help
    assert not found["torch"]


def test_a_method_is_one_file(folder: Path) -> None:
    (folder / "methods").mkdir()
    (folder / "methods" / "unlikelihood.py").write_text(METHOD_FILE)
    # Its file is imported before `TrainConfig` is, so that its loss is there in time.
    register = """
import workbench.train.methods
workbench.train.methods.__path__.append(str(folder / "methods"))
import workbench.train.methods.unlikelihood
assert "workbench.train.config" not in sys.modules
"""
    program = (
        BEGINNING
        + register
        + MODEL
        + """
settings = {**small, "max_steps": 7, "checkpoint_every": 2, "floor": 300.0}
from workbench.models.load import model_hash

def start(name):
    out = str(folder / name)
    return Run.create(TrainConfig(**{**settings, "method": "unlikelihood", "out": out}))

whole = start("whole")
first = whole.evaluate()
list(whole)
broken = start("broken")
while broken.step < 5:
    next(broken)
resumed = Run.resume(folder / "broken")
began = resumed.step
list(resumed)
summaries = [
    json.loads((folder / name / "summary.json").read_text()) for name in ("whole", "broken")
]
print(json.dumps({
    "loss": whole.config.loss, "compares": whole.compares, "began": began,
    "same": model_hash(whole.policy) == model_hash(resumed.policy),
    "settings": [one["settings"] for one in summaries], "method": summaries[0]["method"],
    "first": first["held_out/logps/rejected"], "last": whole.evaluate()["held_out/logps/rejected"],
    "flag": TrainConfig(method="unlikelihood", floor=2.0).floor,
    "refused": refused(lambda: TrainConfig(method="unlikelihood", loss="dpo")),
    "unknown": refused(lambda: TrainConfig(method="likelihood")),
    "foreign": refused(lambda: whole.control.set(beta=1.0)),
}))
"""
    )
    found = run(program, folder)
    assert (found["loss"], found["method"]) == ("unlikely", "unlikelihood")
    assert not found["compares"]
    assert found["began"] == 4
    assert found["same"]
    assert found["settings"] == [{"lr": 1e-3, "floor": 300.0, "loss": "unlikely"}] * 2
    assert found["last"] < found["first"]
    assert found["flag"] == 2.0
    assert found["refused"] == ("loss='dpo' is unknown for method unlikelihood; accepted: unlikely")
    assert "unlikelihood" in found["unknown"]
    assert found["foreign"] == (
        "beta is no setting of method unlikelihood; accepted: loss, lr, floor"
    )
