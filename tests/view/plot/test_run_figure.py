"""Panels: the right numbers in the right lines, drawn once however often they are called."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.train.events import ChangeEvent, EvalEvent, StepEvent
from workbench.view.plot import panels, primitives
from workbench.view.plot import run_figure as plots
from workbench.view.plot.history import History
from workbench.view.plot.run_style import run_style


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


@pytest.fixture
def frame(fake_run: Any) -> pd.DataFrame:
    run = fake_run(total=6)
    list(run)
    found = run.frame()
    of_rollouts = ("scores", "clip_fraction", "value_loss", "entropy", "lengths/completion")
    loss = found[found["metric"] == "loss"]
    return pd.concat([found, *(loss.assign(metric=name) for name in of_rollouts)])


def lines(axes: Axes) -> dict[str, Any]:
    return {line.get_gid(): line for line in axes.lines}


def evaluated(**metrics: float) -> History:
    history = History()
    history.add("run", EvalEvent(4, {f"held_out/{name}": v for name, v in metrics.items()}))
    return history


@pytest.mark.parametrize("name", plots.PANELS)
def test_every_panel_draws_a_frame_and_names_its_axes(
    name: str, frame: pd.DataFrame, axes: Axes
) -> None:
    panel = plots.PANELS[name]
    assert panel(frame, axes) is axes
    assert any(
        len(line.get_xdata()) for gid, line in lines(axes).items() if gid != primitives.GUIDE
    )
    assert axes.get_title("left") == panel.title
    assert axes.get_xlabel() == "step"
    assert axes.get_ylabel()


@pytest.mark.parametrize("name", plots.PANELS)
def test_drawing_again_moves_the_lines_that_are_there(
    name: str, frame: pd.DataFrame, axes: Axes
) -> None:
    panel = plots.PANELS[name]
    panel(frame[frame["step"] <= 3], axes)
    before = lines(axes), len(axes.texts)
    panel(frame, axes)
    assert (lines(axes), len(axes.texts)) == before
    again = Figure().subplots()
    panel(frame, again)
    for gid, line in lines(again).items():
        np.testing.assert_array_equal(line.get_xydata(), lines(axes)[gid].get_xydata())


@pytest.mark.parametrize("name", plots.PANELS)
def test_empty_frame_is_an_empty_panel(name: str, frame: pd.DataFrame, axes: Axes) -> None:
    plots.PANELS[name](frame.iloc[:0], axes)
    axes.figure.canvas.draw()


def test_loss_shows_batches_thin_and_held_out_as_points(frame: pd.DataFrame, axes: Axes) -> None:
    panels.loss(frame, axes)
    training, held_out = lines(axes)["run loss"], lines(axes)["run held_out/loss"]
    np.testing.assert_allclose(training.get_xydata(), [[s, 0.1 * s] for s in range(1, 7)])
    np.testing.assert_allclose(held_out.get_xydata(), [[s, 0.1 * s] for s in (0, 3, 6)])
    assert (training.get_marker(), held_out.get_marker()) == ("None", "o")
    assert training.get_linewidth() < held_out.get_linewidth()
    assert lines(axes)[primitives.GUIDE].get_ydata()[0] == math.log(2)


def test_chosen_and_rejected_are_apart_and_named(frame: pd.DataFrame, axes: Axes) -> None:
    panels.log_ratios(frame, axes)
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours == {"chosen": primitives.BLUE, "rejected": primitives.ORANGE}
    for side, colour in colours.items():
        assert lines(axes)[f"run logratios/{side}"].get_color() == colour


def test_accuracy_has_its_interval(axes: Axes) -> None:
    name = "rewards/accuracies"
    panels.accuracy(evaluated(**{name: 0.6, f"{name}_low": 0.5, f"{name}_high": 0.7}), axes)
    bars = lines(axes)["run bars"].get_xydata()
    np.testing.assert_array_equal(bars, [[4, 0.5], [4, 0.7], [4, math.nan]])


def test_accuracy_of_nothing_but_ties_is_left_out(axes: Axes) -> None:
    name = "rewards/accuracies"
    shares = {name: 0.0, f"{name}_low": 0.0, f"{name}_high": 0.04, "rewards/ties": 1.0}
    history = evaluated(**shares)
    later = {f"held_out/{key}": value for key, value in shares.items()}
    history.add(
        "run", EvalEvent(8, later | {f"held_out/{name}": 0.5, "held_out/rewards/ties": 0.5})
    )
    panels.accuracy(history, axes)
    points = lines(axes)[f"run held_out/{name}"].get_xydata()
    np.testing.assert_array_equal(points, [[4, math.nan], [8, 0.5]])
    assert lines(axes)["run bars"].get_xdata().tolist() == [8, 8, 8]


def test_kl_has_its_standard_error(axes: Axes) -> None:
    name = "kl/policy_reference"
    panels.kl(evaluated(**{name: 2.0, f"{name}_se": 0.5}), axes)
    bars = lines(axes)["run bars"].get_xydata()
    np.testing.assert_array_equal(bars, [[4, 1.5], [4, 2.5], [4, math.nan]])


def test_kto_shows_z_beside_the_log_ratios_of_both_labels(axes: Axes) -> None:
    history = History()
    history.add(
        "run", StepEvent(4, 8, 0, {"logratios/chosen": 1.0, "logratios/rejected": -2.0, "z": 0.3})
    )
    panels.log_ratios(History(), axes)  # the empty figure, before it is known what is trained
    panels.log_ratios(history, axes)
    np.testing.assert_array_equal(lines(axes)["run z"].get_xydata(), [[4, 0.3]])
    assert {text.get_text() for text in axes.texts} == {"desirable", "undesirable", "z"}


def test_samples_show_the_truth_where_a_world_knows_it(axes: Axes) -> None:
    panels.samples(evaluated(**{"samples/length": 9.0}), axes)
    assert axes.get_ylabel() == "tokens"
    other = Figure().subplots()
    truth = {"samples/length": 9.0, "samples/reward": 0.4, "samples/grammatical": 1.0}
    panels.samples(evaluated(**truth), other)
    assert other.get_ylabel() == "reward, share"
    assert {text.get_text() for text in other.texts} == {"true reward", "grammatical"}
    assert "run held_out/samples/length" not in lines(other)


def test_branches_are_dashed_and_hollow(frame: pd.DataFrame, axes: Axes) -> None:
    both = pd.concat([frame, frame.assign(run="branch 1")])
    panels.loss(both, axes)
    run, branch = (lines(axes)[f"{name} held_out/loss"] for name in ("run", "branch 1"))
    assert (run.get_linestyle(), branch.get_linestyle()) == ("-", "--")
    assert (run.get_markerfacecolor(), branch.get_markerfacecolor()) == (primitives.BLUE, "white")
    figure = plots.overview(both)
    assert {"run", "branch 1"} <= {text.get_text() for text in figure.legends[0].get_texts()}


def test_of_several_runs_each_has_its_colour_and_quantities_their_dashes(axes: Axes) -> None:
    history = History()
    for run in ("a", "b"):
        history.add(run, StepEvent(1, 8, 0, {"logratios/chosen": 1.0, "logratios/rejected": 2.0}))
    panels.log_ratios(history.only(["b", "a"]), axes)
    found = {
        (run, side): (line.get_color(), line._unscaled_dash_pattern)
        for run in ("a", "b")
        for side in ("chosen", "rejected")
        for line in [lines(axes)[f"{run} logratios/{side}"]]
    }
    for index, run in enumerate(("a", "b")):
        colours = {found[run, side][0] for side in ("chosen", "rejected")}
        assert colours == {run_style(index).colour}, "by the order in which they came"
        assert found[run, "chosen"][1] != found[run, "rejected"][1]
    assert {text.get_text() for text in axes.texts} == {"— chosen", "··· rejected"}


def test_guide_of_pairs_stays_beside_a_run_of_labelled_answers(axes: Axes) -> None:
    history = History()
    history.add("pairs", StepEvent(1, 8, 0, {"loss": 0.7, "rewards/margins": 0.0}))
    history.add("labels", StepEvent(1, 8, 0, {"loss": 0.5, "rewards/margins": 0.0, "z": 0.1}))
    panels.loss(history, axes)
    assert lines(axes)[primitives.GUIDE].get_ydata()[0] == math.log(2)
    other = panels.loss(history.only(["labels"]), Figure().subplots())
    assert primitives.GUIDE not in lines(other)


def test_changed_settings_are_upright_lines_over_the_whole_height(axes: Axes) -> None:
    history = History()
    history.add("run", StepEvent(8, 10, 0, {"loss": 0.5}))
    history.add("run", ChangeEvent(5, "beta", 0.2))
    panels.loss(history, axes)
    mark = lines(axes)["run changes"]
    np.testing.assert_array_equal(mark.get_xydata(), [[5, 0], [5, 1], [5, math.nan]])
    assert mark.get_transform() == axes.get_xaxis_transform()


def test_limits_only_grow_and_hold_all_points(axes: Axes) -> None:
    history = History()
    widths = []
    for step, value in enumerate([0.0, 0.1, -0.2, 5.0, 0.1, math.nan, -30.0, math.inf]):
        history.add("run", StepEvent(step, 8, 0, {"loss": value}))
        panels.loss(history, axes)
        low, high = axes.get_ylim()
        assert not math.isfinite(value) or low <= value <= high
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[3] == widths[4]


def test_long_runs_start_with_a_part_of_their_axis(axes: Axes) -> None:
    history = History()
    shown = []
    for step in (1, 100, 101, 399, 401, 800):
        history.add("run", StepEvent(step, 800, 0, {"loss": 0.5}))
        panels.loss(history, axes)
        shown.append(round(axes.get_xlim()[1] / 1.02))
    assert shown == [100, 100, 200, 400, 800, 800]


def test_overview_is_opaque_and_leaves_pyplot_alone() -> None:
    assert plots.empty_overview((500, 260)).get_facecolor() == (1, 1, 1, 1)
    code = "import sys, workbench.view; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_rollouts_have_panels_of_their_own() -> None:
    history = History()
    names = ("scores", "kl/rollout", "clip_fraction", "value_loss", "lengths/completion", "entropy")
    history.add("run", StepEvent(1, 8, 0, dict.fromkeys((*names, "loss", "grad_norm"), 0.5)))
    history.add("run", EvalEvent(1, {"held_out/samples/reward": 0.1}))
    shown = [entry.name for entry in plots.panels_for(history, 6)]
    assert shown == ["scores", "kl", "clip_fraction", "value_loss", "length", "entropy"]


def test_before_the_first_event_the_panels_are_those_of_pairs() -> None:
    empty = [entry.name for entry in plots.panels_for(History(), 6)]
    assert empty == ["loss", "reward_margin", "log_ratios", "accuracy", "kl", "samples"]
