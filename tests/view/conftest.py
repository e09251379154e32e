"""A run that costs nothing, for the tests of the view: same events, no model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workbench.compare.handle_sources import handles
from workbench.data.pairs import SkippedRow, TruncatedRow
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.self_test.result import Check, SelfTest
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import ChangeEvent, EndEvent, EvalEvent, Sample, SampleEvent, StepEvent
from workbench.train.settings import LiveSettings
from workbench.view.live.model_thread import ModelThread

PAIR_METRICS = (
    "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "logratios/chosen",
    "logratios/rejected", "logps/chosen", "logps/rejected",
)  # fmt: skip


@dataclass(frozen=True)
class FakeHandle:
    """Writes "PROMPT: WORDS" word by word, after `pause()` each; `open` lists what goes on."""

    name: str
    words: str
    pause: Callable[[], object] = lambda: None
    open: Sequence[str] = ()
    model: Any = None
    own_model: bool = True
    amateur: Any = None

    def stream(self, prompts: list[str], sampling: SamplingConfig) -> Iterator[list[str]]:
        if "unanswerable" in prompts:
            raise WorkbenchError("prompt 0 is unanswerable")
        self.open.append(self.name)  # type: ignore[attr-defined]
        try:
            written = [
                list(accumulate(f"{prompt}: {self.words}".split(" "), "{} {}".format))
                for prompt in prompts
            ]
            for place in range(max(map(len, written))):
                self.pause()
                yield [texts[min(place, len(texts) - 1)] for texts in written]
        finally:
            self.open.remove(self.name)  # type: ignore[attr-defined]


class FakeRun:
    """Takes `total` steps; evaluates at 0, every third step and the end.

    `at` holds what to do within a step, `fail_at` is a step that raises `error` instead. `pause` is
    called before every word that a model writes; `open` names those who write.
    """

    shown_sampling = SamplingConfig()
    preflight_line = "preflight: wrong: <b>contradictions</b> in 2 rows"
    warned: tuple[str, ...] = ()

    def __init__(
        self,
        config: TrainConfig | None = None,
        total: int = 6,
        at: dict[int, Callable[[], None]] | None = None,
        fail_at: int | None = None,
        error: Exception | None = None,
    ) -> None:
        self.at = at or {}
        self.name, self.total, self.step, self.finished = "run", total, 0, False
        self.config = (config or TrainConfig()).resolved()
        self.control, self.events = Control(), []
        self.reference_hash, self.folder = "5eed" * 16, None
        self.skipped = [SkippedRow(7, "the <b>chosen</b> side is empty")]
        self.truncated = [TruncatedRow(9, ("chosen", "rejected"))]
        self.self_test = SelfTest((Check("dropout is off", False, "it is on"),), (), None)
        self.prompts = ["a held-out prompt"]
        self.settings = LiveSettings.start(self.config)
        self.fail_at, self.error = fail_at, error or WorkbenchError("the loss is no number")
        self._going: Iterator[Any] | None = None
        self.policy, self.pause, self.open = SimpleNamespace(generates=True), lambda: None, []

    def handles(self) -> tuple[FakeHandle, FakeHandle]:
        """Reference and policy; every branch has the same reference."""
        return (
            FakeHandle("reference", "old words", self.pause, self.open),
            FakeHandle("policy", "new words", self.pause, self.open, self.policy),
        )

    def __iter__(self) -> FakeRun:
        return self

    def __next__(self) -> Any:
        self._going = self._going or self._go()
        self.events.append(event := next(self._going))
        return event

    def _go(self) -> Iterator[Any]:
        if self.step == 0:
            yield from self._evaluate()
        while self.step < self.total and not self.control.stopping:
            for name, value in self.control.take().items():
                self.settings[name] = value
                yield ChangeEvent(self.step, name, value)
            if self.step + 1 == self.fail_at:
                raise self.error
            self.step += 1
            self.at.get(self.step, lambda: None)()
            metrics = dict.fromkeys(PAIR_METRICS, 0.1 * self.step)
            metrics |= {"beta": self.settings["beta"], "lr": self.settings["lr"], "grad_norm": 1.0}
            yield StepEvent(self.step, self.total, 0, metrics | {"pairs_per_second": 31.0})
            if self.step % 3 == 0 and self.step < self.total:
                yield from self._evaluate()
        yield from self._evaluate()
        self.finished = True
        yield EndEvent(self.step, "finished" if self.step == self.total else "stopped")

    def _evaluate(self) -> Iterator[Any]:
        metrics = {f"held_out/{name}": 0.1 * self.step for name in PAIR_METRICS}
        accuracy = "held_out/rewards/accuracies"
        metrics |= {accuracy: 0.6, f"{accuracy}_low": 0.5, f"{accuracy}_high": 0.7}
        metrics |= {"held_out/kl/policy_reference": 1.0, "held_out/kl/policy_reference_se": 0.25}
        metrics |= {"held_out/samples/length": 9.0}
        yield EvalEvent(self.step, metrics)
        yield SampleEvent(self.step, self.sample(self.prompts))

    def sample(self, prompts: list[str], sampling: Any = None) -> tuple[Sample, ...]:
        if "unanswerable" in prompts:
            raise WorkbenchError("prompt 0 is unanswerable")
        return tuple(Sample(p, f"{p}: old words", f"{p}: new words", 0) for p in prompts)

    def branch(self, name: str) -> FakeRun:
        other = FakeRun(self.config, self.total)
        other.name, other.step, other.settings = name, self.step, dict(self.settings)
        other.events, other.pause, other.open = list(self.events), self.pause, self.open
        return other

    def frame(self) -> pd.DataFrame:
        rows = [
            (self.name, event.step, name, value)
            for event in self.events
            if isinstance(event, StepEvent | EvalEvent)
            for name, value in event.metrics.items()
        ]
        return pd.DataFrame(rows, columns=["run", "step", "metric", "value"])


@pytest.fixture
def fake_run() -> type[FakeRun]:
    """The class, to make runs of."""
    return FakeRun


@pytest.fixture(autouse=True)
def _fake_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a run has models of its own."""
    monkeypatch.setattr(
        "workbench.view.live.writing.handles",
        lambda run: run.handles() if isinstance(run, FakeRun) else handles(run),
    )


@pytest.fixture(autouse=True)
def _no_worker_left() -> Iterator[None]:
    """Every test ends with the threads that it started."""
    yield
    ModelThread.close_newest()
    for thread in threading.enumerate():
        if thread.name == ModelThread.THREAD:
            thread.join(10)
            assert not thread.is_alive()
