"""Commands, pauses, branches, errors and ends of a worker, on its thread and as the twin."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.train.events import ChangeEvent, StepEvent
from workbench.view.live.run_state import RunState
from workbench.view.live.worker import Worker

PATIENCE = 10


class Recorder:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.samples: list[tuple[str, Any]] = []
        self.refusals: list[Exception] = []
        self.told: list[str] = []
        self.endings = 0
        self._settled = threading.Condition()
        self._settles = 0

    def loading(self, text: str, share: float) -> None:
        self.told.append(text)

    def waiting(self, text: str) -> None:
        self.told.append(text)

    def opened(self, run_state: Any, parent: Any) -> None:
        self.told.append(run_state.name)

    def event(self, run_state: Any, event: Any) -> None:
        self.events.append((run_state.name, event))

    def sampled(self, run_state: Any, samples: Any, own: bool) -> None:
        self.samples.append((run_state.name, samples))

    def refused(self, error: Exception) -> None:
        self.refusals.append(error)

    def refresh(self, worker: Worker) -> None:
        pass

    def settle(self, worker: Worker) -> None:
        with self._settled:
            self._settles += 1
            self._settled.notify_all()

    def ended(self, worker: Worker) -> None:
        self.endings += 1

    def wait(self, times: int) -> None:
        """Until the worker has come to rest this many times."""
        with self._settled:
            assert self._settled.wait_for(lambda: self._settles >= times, PATIENCE)

    def steps(self, name: str = "run") -> list[int]:
        return [e.step for run, e in self.events if run == name and isinstance(e, StepEvent)]


@pytest.fixture
def screen() -> Recorder:
    return Recorder()


def test_twin_runs_to_the_end_on_the_calling_thread(fake_run: Any, screen: Recorder) -> None:
    threads = []
    run = fake_run(total=4, at={2: lambda: threads.append(threading.current_thread())})
    Worker(lambda progress: run, screen).run_here()
    assert screen.steps() == [1, 2, 3, 4]
    assert threads == [threading.current_thread()]
    assert screen.endings == 1


def test_thread_does_the_same_as_the_twin(fake_run: Any) -> None:
    seen = []
    for start in (Worker.run_here, Worker.start):
        screen = Recorder()
        worker = Worker(lambda progress: fake_run(total=5), screen)
        start(worker)
        assert worker.join(PATIENCE)
        seen.append(screen.events)
    assert seen[0] == seen[1]


def test_run_is_made_on_the_thread_and_progress_is_told(fake_run: Any, screen: Recorder) -> None:
    makers = []

    def make(progress: Any) -> Any:
        makers.append(threading.current_thread().name)
        progress("loading the model", 0.5)
        return fake_run()

    worker = Worker(make, screen)
    worker.start()
    assert worker.join(PATIENCE)
    assert makers == [Worker.THREAD]
    assert screen.told == ["loading the model", "run", "evaluating before the first step"]


def test_run_that_goes_on_is_not_evaluated_first(fake_run: Any, screen: Recorder) -> None:
    run = fake_run(total=3)
    next(run)
    Worker(lambda progress: run, screen).run_here()
    assert screen.told == ["run"]


def test_setting_takes_effect_before_the_next_step(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=5, at={2: lambda: worker.set(beta=0.7)})
    worker.run_here()
    betas = [event.metrics["beta"] for _, event in screen.events if isinstance(event, StepEvent)]
    assert betas == [0.1, 0.1, 0.7, 0.7, 0.7]
    assert worker.run_states["run"].settings["beta"] == 0.7
    assert worker.run_states["run"].wanted == {}


def test_a_learning_rate_on_its_way_up_is_no_other_setting(fake_run: Any) -> None:
    state = RunState.of(fake_run(total=5))
    before = dict(state.settings)
    state.take_in(StepEvent(1, 5, 0, {"lr": 1e-9, "loss": 0.6}))
    assert state.settings == before
    state.take_in(ChangeEvent(2, "lr", 3e-4))
    assert state.settings["lr"] == 3e-4


def test_bad_setting_is_refused_and_the_run_goes_on(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=3, at={1: lambda: worker.set(beta=-1.0)})
    worker.run_here()
    assert screen.steps() == [1, 2, 3]
    assert "beta=-1.0" in str(screen.refusals[0])


def test_pause_holds_step_takes_one_resume_goes_on(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=6, at={2: worker.pause})
    worker.start()
    screen.wait(1)
    assert (run.step, worker.run_states["run"].state) == (2, "paused")
    assert not worker.join(0.05)
    assert run.step == 2
    worker.step()
    screen.wait(2)
    assert (run.step, worker.run_states["run"].state) == (3, "paused")
    worker.resume()
    assert worker.join(PATIENCE)
    assert screen.steps() == [1, 2, 3, 4, 5, 6]


def test_commands_before_the_start_are_kept(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: fake_run(), screen)
    worker.pause()
    worker.start()
    screen.wait(1)
    assert screen.events == []
    worker.stop()
    assert worker.join(PATIENCE)


def test_pauses_do_not_count_towards_the_time_left(
    fake_run: Any, screen: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 12.0, 999.0, 1002.0])  # of steps 1, 2, then a pause, 3, 4
    monkeypatch.setattr("workbench.view.live.run_state.time.perf_counter", lambda: next(clock))
    worker = Worker(lambda progress: run, screen)

    def pause_and_resume() -> None:
        worker.pause()
        worker.resume()

    run = fake_run(total=24, at={2: pause_and_resume, 4: worker.stop})
    worker.run_here()
    # Two intervals, 2 s and 3 s: 2.5 s a step, 20 steps to go.
    assert worker.run_states["run"].seconds_left == pytest.approx(50.0)


def test_branch_goes_on_beside_the_run_with_its_own_settings(
    fake_run: Any, screen: Recorder
) -> None:
    worker = Worker(lambda progress: run, screen)
    names = []

    def branch() -> None:
        names.append(worker.branch("run"))
        worker.set(names[0], beta=0.5)

    run = fake_run(total=4, at={2: branch})
    worker.run_here()
    assert names == ["branch 1"]
    assert screen.steps("run") == [1, 2, 3, 4]
    assert screen.steps("branch 1") == [3, 4]
    assert run.settings["beta"] == 0.1
    assert worker.run_states["branch 1"].run.settings["beta"] == 0.5
    order = [name for name, event in screen.events if isinstance(event, StepEvent)]
    assert order == ["run", "run", "run", "branch 1", "run", "branch 1"]  # in turn


def test_branch_takes_along_what_was_asked_for(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)

    def change_then_branch() -> None:
        worker.pause()
        worker.set(beta=0.5)
        worker.branch("run")

    run = fake_run(total=4, at={2: change_then_branch})
    worker.start()
    screen.wait(1)
    worker.resume()
    assert worker.join(PATIENCE)
    changes = [(name, e.value) for name, e in screen.events if isinstance(e, ChangeEvent)]
    assert sorted(changes) == [("branch 1", 0.5), ("run", 0.5)]


def test_commands_can_name_one_run(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)

    def branch_and_pause() -> None:
        worker.branch("run")
        worker.pause("run")

    run = fake_run(total=5, at={2: branch_and_pause})
    worker.start()
    screen.wait(1)
    assert (run.step, worker.run_states["branch 1"].state) == (2, "finished")
    worker.stop("run")
    assert worker.join(PATIENCE)
    assert worker.run_states["run"].state == "stopped"


def test_stop_still_evaluates(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=100, at={4: worker.stop})
    worker.run_here()
    assert run.step == 4
    assert [type(event).__name__ for _, event in screen.events[-3:]] == [
        "EvalEvent",
        "SampleEvent",
        "EndEvent",
    ]
    assert worker.run_states["run"].state == "stopped"


def test_stop_works_while_paused_and_while_loading(fake_run: Any, screen: Recorder) -> None:
    paused = Worker(lambda progress: fake_run(), screen)
    paused.pause()
    paused.start()
    screen.wait(1)
    paused.stop()
    assert paused.join(PATIENCE)

    def make(progress: Any) -> Any:
        loading.stop()
        progress("loading the model", 0.1)
        raise AssertionError("went on loading")

    loading = Worker(make, Recorder())
    loading.start()
    assert loading.join(PATIENCE)
    assert loading.run_states == {}


def test_sampling_while_paused_and_after_the_end(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=4, at={2: worker.pause})
    worker.start()
    screen.wait(1)
    worker.sample(["one"])
    screen.wait(2)
    worker.resume()
    assert worker.join(PATIENCE)
    worker.sample(["two"])
    screen.wait(3)
    assert [samples[0].prompt for _, samples in screen.samples] == ["one", "two"]
    assert run.step == 4


def test_answers_are_shown_while_they_are_written_and_the_run_waits(
    fake_run: Any, screen: Recorder
) -> None:
    worker = Worker(lambda progress: run, screen)
    seen: list[Any] = []
    steps: set[int] = set()

    def ask() -> None:
        run.pause = lambda: steps.add(run.step) or time.sleep(0.11)  # type: ignore[func-returns-value]
        worker.sample(["p"], show=lambda answers, state: seen.append((state, answers["run"])))

    run = fake_run(total=4, at={2: ask})
    worker.run_here()
    assert steps == {2}
    assert screen.steps() == [1, 2, 3, 4]
    states, answers = zip(*seen, strict=True)
    assert states == ("writing",) * 4 + ("finished",)
    assert [(s.reference, s.policy) for _, (s,) in answers] == [
        ("", ""),
        ("p:", "p:"),
        ("p: old", "p: new"),
        ("p: old words", "p: new words"),
        ("p: old words", "p: new words"),
    ]
    assert [(name, s.policy) for name, (s,) in screen.samples] == [("run", "p: new words")]
    assert run.open == []


def test_a_run_and_its_branch_write_beside_one_reference(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    seen: list[Any] = []

    def ask() -> None:
        worker.branch("run")
        worker.sample(["p"], show=lambda answers, state: seen.append(answers))

    run = fake_run(total=3, at={1: ask})
    worker.run_here()
    assert set(seen[-1]) == {"run", "branch 1"}
    assert [name for name, _ in screen.samples] == ["run", "branch 1"]


def test_stop_gives_up_what_is_written_at_once(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    seen: list[Any] = []

    def ask() -> None:
        run.pause = lambda: len(run.open) == 2 and worker.stop()
        worker.sample(
            ["p"], show=lambda answers, state: seen.append((state, answers["run"][1][0].policy))
        )

    run = fake_run(total=100, at={2: ask})
    worker.run_here()
    assert seen[-1] == ("stopped", "p:")
    assert run.open == []
    assert run.step == 2
    assert worker.run_states["run"].state == "stopped"
    assert screen.samples == []


def test_another_question_takes_the_place_of_the_one_being_answered(
    fake_run: Any, screen: Recorder
) -> None:
    worker = Worker(lambda progress: run, screen)
    seen: list[Any] = []

    def note(answers: Any, state: str) -> None:
        seen.append((answers["run"][1][0].prompt, state))

    def interrupt() -> None:
        if len(run.open) == 2:
            run.pause = lambda: None
            worker.sample(["second"], show=note)

    def ask() -> None:
        run.pause = interrupt
        worker.sample(["first"], show=note)

    run = fake_run(total=3, at={1: ask})
    worker.run_here()
    assert [state for state in seen if state[1] != "writing"] == [
        ("first", "stopped"),
        ("second", "finished"),
    ]
    assert [samples[0].prompt for _, samples in screen.samples] == ["second"]
    assert screen.steps() == [1, 2, 3]


def test_an_error_leaves_what_was_written_and_the_run_goes_on(
    fake_run: Any, screen: Recorder
) -> None:
    worker = Worker(lambda progress: run, screen)
    seen: list[Any] = []
    words = iter([None, None, None])

    def ask() -> None:
        run.pause = lambda: next(words)
        worker.sample(["p"], show=lambda answers, state: seen.append((state, answers["run"][1][0])))

    run = fake_run(total=3, at={1: ask})
    worker.run_here()
    state, sample = seen[-1]
    assert state == "failed"
    assert (sample.reference, sample.policy) == ("p:", "p:")
    assert len(screen.refusals) == 1
    assert screen.steps() == [1, 2, 3]


def test_settings_are_heard_between_two_tokens(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    wanted: list[Any] = []

    def change() -> None:
        wanted.append(dict(worker.run_states["run"].wanted))
        worker.set(beta=0.7)

    def ask() -> None:
        run.pause = change
        worker.sample(["p"])

    run = fake_run(total=3, at={1: ask})
    worker.run_here()
    assert wanted[0] == {}
    assert wanted[-1] == {"beta": 0.7}
    assert run.settings["beta"] == 0.7


def test_unanswerable_prompt_does_not_end_the_run(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=3, at={1: lambda: worker.sample(["unanswerable"])})
    worker.run_here()
    assert [str(error) for error in screen.refusals] == ["prompt 0 is unanswerable"]
    assert screen.steps() == [1, 2, 3]


@pytest.mark.parametrize("error", [WorkbenchError("no number"), KeyError("a mistake")])
def test_errors_are_kept_shown_and_raised_by_join(
    fake_run: Any, screen: Recorder, error: Exception
) -> None:
    worker = Worker(lambda progress: fake_run(fail_at=2, error=error), screen)
    worker.start()
    with pytest.raises(type(error)) as caught:
        worker.join(PATIENCE)
    assert caught.value is error
    assert worker.run_states["run"].state == "failed"
    assert screen.endings == 1
    with pytest.raises(type(error)):
        Worker(lambda progress: fake_run(fail_at=2, error=error), Recorder()).run_here()


def test_error_while_loading_is_raised_by_join(screen: Recorder) -> None:
    def make(progress: Any) -> Any:
        raise WorkbenchError("data='x.jsonl' is not there")

    worker = Worker(make, screen)
    worker.start()
    with pytest.raises(WorkbenchError, match=r"x\.jsonl"):
        worker.join(PATIENCE)
    assert screen.endings == 1


def test_failed_branch_leaves_the_run_going(fake_run: Any, screen: Recorder) -> None:
    worker = Worker(lambda progress: run, screen)
    run = fake_run(total=5, at={2: lambda: worker.branch("run")})
    make_branch = run.branch

    def failing_branch(name: str) -> Any:
        branch = make_branch(name)
        branch.fail_at = 3
        return branch

    run.branch = failing_branch
    with pytest.raises(WorkbenchError):
        worker.run_here()
    assert screen.steps("run") == [1, 2, 3, 4, 5]
    assert worker.run_states["branch 1"].state == "failed"


def test_display_that_fails_ends_the_run_with_its_error(fake_run: Any, screen: Recorder) -> None:
    def fail(worker: Worker) -> None:
        raise OSError("the connection is gone")

    screen.ended = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="connection"):
        Worker(lambda progress: fake_run(), screen).run_here()


def test_new_worker_stops_the_one_before_and_waits_for_it(fake_run: Any, screen: Recorder) -> None:
    first = Worker(lambda progress: fake_run(), screen)
    first.pause()
    first.start()
    screen.wait(1)
    alive = []

    def make(progress: Any) -> Any:
        alive.extend(t for t in threading.enumerate() if t.name == Worker.THREAD)
        return fake_run(total=2)

    second = Worker(make, Recorder())
    second.start()
    assert second.join(PATIENCE)
    assert len(alive) == 1  # the second's own
    assert first.over
    assert first.run_states["run"].state == "stopped"


def test_interrupted_twin_still_shows_how_far_it_came(fake_run: Any, screen: Recorder) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Worker(lambda progress: fake_run(at={3: interrupt}), screen).run_here()
    assert screen.endings == 1
    assert screen.steps() == [1, 2]
