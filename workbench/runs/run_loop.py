"""A run going on: the loop's events, with evaluation and record between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Self

from workbench.runs.checkpoint_timer import CheckpointTimer
from workbench.runs.folder.checkpoint_files import join_checkpoint
from workbench.runs.folder.config_file import settings_of
from workbench.runs.folder.control_file import ControlFile
from workbench.runs.run_view import RunView
from workbench.train import distributed
from workbench.train.control import Control
from workbench.train.events import CheckpointEvent, EndEvent, EvalEvent, Event, StepEvent
from workbench.train.loop import NonFiniteLossError, fit
from workbench.train.method import Reference
from workbench.train.model_lock import model_lock
from workbench.train.reference.start_model import Shared


class RunLoop(RunView):
    """The half of `Run` that trains."""

    control: Control
    finished: bool
    data_hash: str
    _scored_reference: Reference | None
    _generator: Iterator[Event] | None
    _timer: CheckpointTimer
    _shared: Shared

    @property
    def _recorded(self) -> bool:
        """Whether the run is written, by this process or by the main one."""
        return self.record is not None or not (distributed.is_main() or self.config.out is None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        if self._generator is None:
            self._generator = self._go()
        with model_lock():
            event = next(self._generator)
        if self.record:
            self.record.append(event)
            if isinstance(event, EndEvent):
                self.record.release()
        self.events.append(event)
        return event

    def _go(self) -> Iterator[Event]:
        self._timer.restart()
        asked = ControlFile(self.folder)
        evaluated = any(isinstance(event, EvalEvent) for event in self.events)
        if not evaluated:
            yield from self._evaluate()
        steps = fit(
            self._shared.wrapper or self.policy, self._batches, self.config, self.control,
            method=self.method, reference=self._scored_reference, state=self._state,
        )  # fmt: skip
        try:
            asked.carry_out(self.control, self.step)
            for event in steps:
                yield event
                if isinstance(event, StepEvent):
                    yield from self._after_step()
                    if self.step < self.total:
                        asked.carry_out(self.control, self.step)
        except NonFiniteLossError as error:
            kept = self.record.checkpoints() if self.record else []
            raise NonFiniteLossError(
                f"{error}; kept: {kept[-1]}" if kept else str(error)
            ) from error
        yield from self._end()

    def _after_step(self) -> Iterator[Event]:
        every, last = self.config.eval_every or 0, self.step == self.total
        if not last and every and self.step % every == 0:
            yield from self._evaluate()
        interval = self.config.checkpoint_every or len(self._batches)
        by_step = self.step % interval == 0
        by_time = distributed.main_says(self._timer.due())
        if self._recorded and not last and (by_step or by_time):
            yield self._checkpoint(keep_optimizer=True, by_time=not by_step)

    def _end(self) -> Iterator[Event]:
        reason = "finished" if self.step >= self.total else "stopped"
        if reason == "stopped":  # first, as whoever stops it may not wait for the evaluation
            yield from self._last_checkpoint(keep_optimizer=True)
        evaluated = [event.step for event in self.events if isinstance(event, EvalEvent)]
        if self.step not in evaluated:
            yield from self._evaluate()
        self.finished = True
        if reason == "finished":
            yield from self._last_checkpoint(keep_optimizer=False)
        if self.record:
            self.record.summarise(self.summary(reason))
        yield EndEvent(self.step, reason)

    def _last_checkpoint(self, keep_optimizer: bool) -> Iterator[Event]:
        kept = [event.step for event in self.events if isinstance(event, CheckpointEvent)]
        if self._recorded and self.step not in kept:
            yield self._checkpoint(keep_optimizer)

    def _checkpoint(self, keep_optimizer: bool, by_time: bool = False) -> CheckpointEvent:
        state = self._state
        optimizer = state.optimizer if keep_optimizer else None
        event = CheckpointEvent(self.step, f"step-{self.step:06d}")
        if self.record is None:
            join_checkpoint(None, self.policy, optimizer)
            return event
        self.record.save_checkpoint(
            self.policy,
            optimizer,
            {
                **state.numbers(),
                "batches": self._batches.state_dict(),
                "events": len(self.events),
                "reference_hash": self.reference_hash,
                "data_hash": self.data_hash,
                "held_out": self.data.known.held_out,
                "config": settings_of(self.config),
                "by_time": by_time,
            },
        )
        self._timer.restart()
        return event

    def _evaluate(self) -> Sequence[Event]:
        whole = self._shared.whole
        with whole.put_together() if whole else nullcontext(self.policy) as policy:
            return self._evaluator(policy, self.step, self.settings)
