"""The dashboard without a browser: buttons pressed in Python, runs that cost nothing."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig
from workbench.view.html.render import verbatim
from workbench.view.live.dashboard import Dashboard, dashboard
from workbench.view.live.static import StaticDashboard

PATIENCE = 10


class Board:
    """A dashboard and the hand that presses its buttons."""

    def __init__(self, make_run: Callable[..., Any], **settings: Any) -> None:
        board = dashboard(make_run=make_run, **{"keep": False} | settings)
        assert isinstance(board, Dashboard)
        self.board, self.inputs, self.out = board, board._inputs, board._outputs

    def press(self, name: str) -> None:
        button = self.inputs.buttons[name]
        assert not button.disabled
        button.click()

    def until(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.out.status.value
            time.sleep(0.002)

    def shows(self, text: str) -> None:
        self.until(lambda: text in self.out.status.value)

    def enabled(self) -> set[str]:
        return {name for name, button in self.inputs.buttons.items() if not button.disabled}


@pytest.fixture
def board(fake_run: Any) -> Board:
    """Paused at step 0, 30 steps to go."""
    board = Board(lambda config, progress: fake_run(config, total=30))
    board.press("Step")
    board.shows('data-step="1"')
    return board


def test_start_trains_with_the_settings_shown(fake_run: Any) -> None:
    configs = []

    def make(config: TrainConfig, progress: Any) -> Any:
        configs.append(config)
        return fake_run(config)

    board = Board(make, config=TrainConfig(beta=0.3, seed=5))
    assert board.enabled() == {"Start", "Step", "Generate"}
    empty = board.out.curves.png()
    board.inputs.loss.value = "ipo"
    board.press("Start")
    assert board.board.join(PATIENCE)
    (config,) = configs
    assert (config.beta, config.seed, config.loss) == (0.3, 5, "ipo")
    assert config.lr == TrainConfig().resolved().lr
    assert 'data-state="finished" data-step="6"' in board.out.status.value
    assert board.out.curves.png() != empty
    assert Image.open(io.BytesIO(board.out.curves.png())).size == (1000, 520)
    assert "5eed5eed5eed" in board.out.facts.value
    assert board.enabled() == {"Start", "Step", "Generate"}
    assert board.board.run is board.board.runs[0]


def test_modifiers_are_offered_where_the_loss_takes_them(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(ld_alpha=0.5))
    modifiers, box = board.inputs.modifiers, board.inputs.modifier_box

    def offered() -> list[str]:
        return [name for name, one in modifiers.items() if one.layout.display != "none"]

    assert modifiers["ld_alpha"].value == 0.5
    assert offered() == ["ld_alpha", "divergence", "wpo"]
    modifiers["divergence"].value = "alpha"
    assert offered() == ["ld_alpha", "divergence", "divergence_alpha", "wpo"]
    board.inputs.loss.value = "ipo"
    assert offered() == ["ld_alpha", "wpo"]
    settings = board.inputs.settings
    assert (settings["ld_alpha"], settings["divergence"]) == (0.5, None)
    board.inputs.loss.value = "aot"
    assert box.layout.display == "none"
    assert board.inputs.settings["ld_alpha"] is None


def test_what_nobody_set_stays_open_to_the_data(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(loss="kto"))
    weights = ("desirable_weight", "undesirable_weight")
    assert [board.inputs.settings[name] for name in weights] == [None, None]
    board.inputs.parameters["desirable_weight"].value = 1.2
    assert board.inputs.settings["desirable_weight"] == 1.2


def test_settings_are_exactly_what_a_person_set(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(beta=0.3))
    told: list[dict[str, Any]] = []
    board.inputs.on_setting(lambda **settings: told.append(settings))
    assert (board.inputs.settings["beta"], told) == (0.3, [])
    beta = board.inputs.parameters["beta"]
    for value in (1 / 3, 0.1):
        beta.value = value
        assert (board.inputs.settings["beta"], told.pop()) == (value, {"beta": value})


def test_a_runs_values_are_shown_without_a_word(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(beta=0.3))
    told: list[dict[str, Any]] = []
    board.inputs.on_setting(lambda **settings: told.append(settings))
    shown = {"loss": "cdpo", "beta": 50.0, "label_smoothing": 0.2, "lr": 2e-5, "wpo": True}
    board.inputs.show_values(shown)
    settings = board.inputs.settings
    assert {name: settings[name] for name in shown} == shown
    assert board.inputs.parameters["beta"].value == 50.0
    board.inputs.show_values({"loss": "dpo", "lr": 1e-4})
    assert board.inputs.parameters["beta"].value == 0.1
    assert board.inputs.settings["wpo"] is None
    assert told == []
    board.inputs.parameters["beta"].value = 0.2
    assert told == [{"beta": 0.2}]


def test_a_preset_is_one_change_and_says_what_it_shows(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config))
    told: list[dict[str, Any]] = []
    board.inputs.on_setting(lambda **settings: told.append(settings))
    board.inputs.presets.menu.value = "beta-too-small"
    assert told == [{"loss": "dpo", "beta": 0.005, "lr": 5e-4}]
    assert board.inputs.settings["beta"] == board.inputs.parameters["beta"].value == 0.005
    assert "reference" in board.inputs.presets.about.value
    board.inputs.parameters["beta"].value = 0.1
    assert board.inputs.presets.menu.value == "own settings"
    assert board.inputs.presets.about.value == ""


def test_presets_are_offered_where_they_were_tried(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(model="smollm2"))
    assert board.inputs.presets.menu.options == ("own settings",)
    assert board.inputs.presets.menu.layout.display == "none"


def test_the_longest_answer_is_set_beside_the_prompt(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(shown_length=7))
    assert board.inputs.sampling.max_new_tokens == 7
    board.inputs.answer_length.value = 99
    assert board.inputs.sampling.max_new_tokens == 99


def test_a_value_given_and_moved_back_to_the_default_is_sent(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), config=TrainConfig(beta=0.3))
    board.inputs.parameters["beta"].value = 0.1
    assert board.inputs.settings["beta"] == 0.1


def test_start_after_the_end_begins_anew_in_a_folder_of_its_own(fake_run: Any) -> None:
    folders = []

    def make(config: TrainConfig, progress: Any) -> Any:
        folders.append(config.out)
        return fake_run(config)

    board = Board(make, config=TrainConfig(out="runs/a"))
    for _ in range(2):
        board.press("Start")
        assert board.board.join(PATIENCE)
    assert folders == ["runs/a", "runs/a-2"]


def test_pause_step_and_resume(board: Board) -> None:
    assert 'data-state="paused"' in board.out.status.value
    assert board.inputs.buttons["Pause"].description == "Resume"
    board.press("Step")
    board.shows('data-step="2"')
    board.press("Pause")
    assert board.inputs.buttons["Pause"].description == "Pause"
    assert board.board.join(PATIENCE)
    assert 'data-step="30"' in board.out.status.value


def test_beta_moves_the_run(board: Board) -> None:
    board.inputs.parameters["beta"].value = 0.5
    board.shows("beta 0.1 → 0.5")
    board.press("Step")
    board.shows('data-beta="0.5"')
    assert board.board.run is not None
    assert board.board.run.settings["beta"] == 0.5


def test_a_refused_setting_is_forgotten_with_the_next_one(board: Board) -> None:
    board.board._set(beta=-1.0)
    board.until(lambda: "beta=-1.0 is not accepted" in board.out.problem.value)
    board.inputs.parameters["beta"].value = 0.5
    board.press("Step")
    board.shows('data-step="2"')
    assert board.out.problem.value == ""


def test_a_modifier_moves_the_run(board: Board) -> None:
    board.inputs.modifiers["divergence"].value = "forward_kl"
    board.press("Step")
    board.shows('data-step="2"')
    assert board.board.run is not None
    assert board.board.run.settings["divergence"] == "forward_kl"


def test_branch_is_chosen_and_commanded_alone(board: Board) -> None:
    board.press("Branch")
    board.shows('data-run="branch 1"')
    board.until(lambda: board.inputs.runs.value == "branch 1")
    assert board.inputs.runs.options == ("run", "branch 1", "all")
    board.inputs.parameters["beta"].value = 0.5
    board.press("Step")
    board.shows('data-state="paused" data-step="2" data-beta="0.5"')
    board.shows('data-step="1" data-beta="0.1"')
    board.inputs.runs.value = "all"
    board.press("Stop")
    assert board.board.join(PATIENCE)
    assert [run.name for run in board.board.runs] == ["run", "branch 1"]
    assert board.out.status.value.count('data-state="stopped"') == 2


def test_generate_fills_both_panes_and_the_table(board: Board) -> None:
    board.inputs.prompt.value = "<img src=x onerror=y>"
    board.press("Generate")
    board.until(
        lambda: "step 1" in board.out.answer.value and 'state="finished"' in board.out.answer.value
    )
    assert "&lt;img src=x onerror=y&gt;: " in board.out.answer.value
    assert "<img" not in board.out.answer.value
    assert ">old</del>" in board.out.answer.value
    assert ">new</ins>" in board.out.answer.value
    board.inputs.prompt.value = " "
    board.out.samples.value = ""
    board.press("Generate")
    board.until(lambda: "a held-out prompt" in board.out.samples.value)


def test_panes_fill_while_the_run_waits_and_stop_ends_both(board: Board) -> None:
    run, go_on = board.board.run, threading.Semaphore(0)
    run.pause = lambda: go_on.acquire(timeout=PATIENCE)  # type: ignore[union-attr]
    board.press("Pause")  # it trains on, but for the question
    board.inputs.prompt.value = "hello"
    board.press("Generate")
    go_on.release(3)
    board.until(lambda: 'data-state="writing"' in board.out.answer.value)
    board.until(lambda: "policy · step" in board.out.answer.value)
    assert "<ins" not in board.out.answer.value
    assert "Stop" in board.enabled()
    board.press("Stop")
    go_on.release(100)
    assert board.board.join(PATIENCE)
    assert 'data-state="stopped"' in board.out.answer.value
    assert 'data-state="stopped"' in board.out.status.value


def test_what_is_written_after_the_end_can_be_stopped_too(board: Board) -> None:
    board.press("Pause")
    assert board.board.join(PATIENCE)
    board.until(lambda: "Stop" not in board.enabled())
    run, go_on = board.board.run, threading.Semaphore(0)
    run.pause = lambda: go_on.acquire(timeout=PATIENCE)  # type: ignore[union-attr]
    board.inputs.prompt.value = "hello"
    board.press("Generate")
    board.until(lambda: "Stop" in board.enabled())
    board.press("Stop")
    go_on.release(100)
    board.until(lambda: 'data-state="stopped"' in board.out.answer.value)
    board.until(lambda: "Stop" not in board.enabled())
    board.press("Generate")
    board.until(lambda: ">new</ins>" in board.out.answer.value)
    assert board.board.run is run
    assert 'data-state="finished"' in board.out.status.value


def test_generate_before_the_start_loads_and_holds(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), prompt="hello")
    board.press("Generate")
    board.until(lambda: "hello" in board.out.answer.value)
    board.shows('data-state="paused" data-step="0"')
    assert board.inputs.buttons["Pause"].description == "Resume"


def test_a_run_without_texts_says_so_where_they_would_stand(fake_run: Any) -> None:
    """A reward model's, for one: beside empty panes nobody would know what Generate waits for."""

    def make(config: TrainConfig, progress: Any) -> Any:
        run = fake_run(config)
        run.policy.generates = False
        return run

    board = Board(make)
    assert "wb-pane wb-reference" in board.out.answer.value
    board.press("Start")
    assert board.board.join(PATIENCE)
    assert "trains no model that writes texts" in board.out.answer.value
    assert "wb-pane wb-reference" not in board.out.answer.value


def test_refused_prompt_is_a_card_and_the_run_goes_on(board: Board) -> None:
    board.inputs.prompt.value = "unanswerable"
    board.press("Generate")
    board.until(lambda: "wb-error" in board.out.problem.value)
    board.press("Pause")
    assert board.board.join(PATIENCE)


def test_failure_is_a_card_and_raised_by_join(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config, fail_at=2))
    board.press("Start")
    with pytest.raises(WorkbenchError, match="no number"):
        board.board.join(PATIENCE)
    assert "the loss is no number" in board.out.problem.value
    assert 'data-state="failed"' in board.out.status.value
    assert "Start" in board.enabled()


def test_failed_loading_is_a_card_too() -> None:
    def make(config: TrainConfig, progress: Any) -> Any:
        raise WorkbenchError("model='nowhere' is not there")

    board = Board(make)
    board.press("Start")
    with pytest.raises(WorkbenchError):
        board.board.join(PATIENCE)
    assert "nowhere" in board.out.problem.value
    assert 'data-state="failed"' in board.out.status.value


def test_stop_while_loading_gives_it_up(fake_run: Any) -> None:
    reached = threading.Event()

    def make(config: TrainConfig, progress: Any) -> Any:
        reached.set()
        while True:
            progress("pretraining", 0.5)

    board = Board(make)
    board.press("Start")
    assert reached.wait(PATIENCE)
    board.shows("loading · pretraining")
    board.press("Stop")
    assert board.board.join(PATIENCE)
    assert "stopped before the first step" in board.out.status.value
    board.until(lambda: board.enabled() == {"Start", "Step", "Generate"})


def test_branch_before_the_first_step(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config), prompt="hello")
    board.press("Generate")  # loads, and holds before anything was evaluated
    board.shows('data-state="paused" data-step="0"')
    board.press("Branch")
    board.shows('data-run="branch 1"')
    assert board.out.problem.value == ""


def test_new_dashboard_stops_the_old_one(board: Board, fake_run: Any) -> None:
    Board(lambda config, progress: fake_run(config))
    assert board.board.join(PATIENCE)
    assert 'data-state="stopped"' in board.out.status.value


def test_inputs_are_not_written_while_a_run_goes_on(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config, total=12))
    written: list[str] = []
    inputs = board.inputs
    own = [getattr(inputs, name) for name in ("lr", "loss", "prompt", "temperature", "seed")]
    for widget in (*own, *inputs.parameters.values()):
        widget.observe(lambda change: written.append(change["name"]))
    board.press("Start")
    assert board.board.join(PATIENCE)
    assert written == []


def test_when_done_fills_itself_in(board: Board) -> None:
    def count(run: Any) -> str:
        return f"<b>{run.step} steps</b>"

    before = board.board.when_done(count)
    assert "when the run ends" in before.value
    board.press("Pause")
    assert board.board.join(PATIENCE)
    after = board.board.when_done(count)
    assert before.value == "<b>30 steps</b>"
    board.until(lambda: after.value == "<b>30 steps</b>")
    picture = board.board.when_done(lambda run: Figure())
    board.until(lambda: "<img" in picture.value)


def test_when_done_that_fails_is_a_card_and_raised_by_join(fake_run: Any) -> None:
    board = Board(lambda config, progress: fake_run(config))
    place = board.board.when_done(lambda run: 1 / 0)  # type: ignore[arg-type,return-value]
    board.press("Start")
    with pytest.raises(ZeroDivisionError):
        board.board.join(PATIENCE)
    assert "ZeroDivisionError" in place.value


def test_display_has_a_widget_and_words_for_places_without(
    fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    module = sys.modules[Dashboard.__module__]  # hidden behind the function of that name
    monkeypatch.setattr(module, "display", lambda thing, **k: shown.append(thing))
    Board(lambda config, progress: fake_run(config)).board._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert "run this cell" in shown[0]["text/html"]


# -- the synchronous twin -----------------------------------------------------------------------


def test_twin_ends_before_it_is_shown(fake_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    for module in ("live.static", "cell_output"):
        monkeypatch.setattr(
            f"workbench.view.{module}.display", lambda thing, **k: shown.append(thing)
        )
    board = dashboard(
        live=False, prompt="hello <b>", make_run=lambda config, progress: fake_run(config)
    )
    assert isinstance(board, StaticDashboard)
    assert board.run.finished
    assert board.join()
    board._ipython_display_()
    picture, table, facts = shown
    assert picture.data[:4] == b"\x89PNG"
    assert "hello &lt;b&gt;" in table.data
    assert "a held-out prompt" in table.data
    assert "<style" not in table.data + facts.data
    assert board.when_done(lambda run: f"{run.step} steps").data == verbatim("6 steps")
    assert board.when_done(lambda run: Figure()).data[:4] == b"\x89PNG"


def test_twin_raises_what_ended_the_run_and_shows_how_far_it_came(
    fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(
        "workbench.view.live.static.display", lambda thing, **k: shown.append(thing)
    )
    with pytest.raises(WorkbenchError, match="no number"):
        dashboard(live=False, make_run=lambda config, progress: fake_run(config, fail_at=4))
    assert shown[-1].data[:4] == b"\x89PNG"


def test_colab_gets_the_twin(fake_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    board = dashboard(make_run=lambda config, progress: fake_run(config))
    assert isinstance(board, StaticDashboard)


def test_twin_tells_how_far_it_is_in_one_line_that_changes(
    fake_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Handle:
        def update(self, line: Any) -> None:
            said.append(line.data)

    def show(line: Any, display_id: bool) -> Handle:
        assert said == []
        said.append(line.data)
        return Handle()

    def make(config: TrainConfig, progress: Any) -> Any:
        progress("loading the <model>", 0.5)
        return fake_run(config)

    monkeypatch.setattr("workbench.view.live.static.get_ipython", lambda: "a notebook")
    monkeypatch.setattr("workbench.view.cell_output.display", show)
    dashboard(live=False, make_run=make)
    assert said[0] == verbatim("<p>loading · loading the &lt;model&gt; · 50%</p>")
    assert "<p>run · finished · step 6 of 6" in said[-1]
