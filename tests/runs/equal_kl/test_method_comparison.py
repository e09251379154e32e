"""Comparing methods: rankings of made-up curves, and real comparisons of very small runs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.equal_kl import planned_runs
from workbench.runs.equal_kl.method_comparison import MethodComparison, compare_methods
from workbench.runs.equal_kl.planned_runs import plan
from workbench.runs.run import Run
from workbench.train.config import TrainConfig

SEEDS = range(5)
WIGGLE = (0.0, 0.02, -0.02, 0.02, -0.02)  # by seed


def made_up(slopes: dict[str, float], reach: dict[str, float] | None = None) -> MethodComparison:
    """reward = (slope + wiggle) * sqrt(kl), with two strengths, of which 0.1 is the better one.

    `reach` is the KL at the end, 4 where it isn't given.
    """
    rows = [
        {"loss": loss, "value": value, "seed": seed, "step": step, "kl": kl,
         "reward": (slope + (WIGGLE[seed] if loss == "dpo" else 0.0) - value) * kl**0.5}
        for loss, slope in slopes.items()
        for value in (0.1, 0.4)
        for seed in SEEDS
        for step, kl in enumerate((0.0, (reach or {}).get(loss, 4.0)))
    ]  # fmt: skip
    return MethodComparison(pd.DataFrame(rows), "reward")


# -- what is ranked -----------------------------------------------------------------------------


def test_a_clear_winner_is_told_apart() -> None:
    found = made_up({"ipo": 1.1, "dpo": 2.1}).at_kl()
    assert (found.along, found.at, found.measured) == ("kl", 4.0, "reward")
    best, other = found.table.itertuples()
    assert (best.loss, best.strength, best.value) == ("dpo", "beta", 0.1)
    assert (best.best_rank, best.worst_rank, best.not_told_apart) == (1, 1, "")
    assert (other.loss, other.best_rank, other.worst_rank) == ("ipo", 2, 2)
    # 2 * sqrt(4), and twice the wiggle: standard deviation 0.04, 2.776 standard errors around it.
    assert best.mean == pytest.approx(4.0)
    assert best.high - best.mean == pytest.approx(2.7764 * 0.04 / 5**0.5, abs=1e-5)
    assert (other.mean, other.low, other.high) == pytest.approx((2.0, 2.0, 2.0))
    assert found.differences["better"].tolist() == ["dpo"]


def test_what_the_intervals_do_not_separate_is_not_told_apart() -> None:
    found = made_up({"ipo": 1.11, "dpo": 1.1, "kto": 2.1}).at_kl()
    ranks = found.table.set_index("loss")[["best_rank", "worst_rank", "not_told_apart"]]
    assert ranks.loc["kto"].tolist() == [1, 1, ""]
    assert ranks.loc["ipo"].tolist() == [2, 3, "dpo"]
    assert ranks.loc["dpo"].tolist() == [2, 3, "ipo"]


def test_the_common_kl_is_the_largest_that_all_reach() -> None:
    comparison = made_up({"dpo": 1.1, "ipo": 2.1}, reach={"ipo": 2.25})
    found = comparison.at_kl()
    assert found.at == 2.25
    assert found.table.set_index("loss")["mean"].to_dict() == pytest.approx({"ipo": 3, "dpo": 1.5})
    assert found.table.set_index("loss")["reaches"].to_dict() == {"ipo": 2.25, "dpo": 4.0}


def test_a_method_that_does_not_get_there_is_said_to_and_not_extrapolated() -> None:
    found = made_up({"dpo": 1.1, "ipo": 2.1, "kto": 3.1}, reach={"ipo": 2.25}).at_kl(4.0)
    assert found.table["loss"].tolist() == ["kto", "dpo", "ipo"]
    missing = found.table.iloc[2]
    assert missing["reaches"] == 2.25
    assert missing[["value", "mean", "low", "high", "best_rank", "not_told_apart"]].isna().all()
    assert found.table["worst_rank"].tolist()[:2] == [1, 2]
    assert found.differences[["first", "second"]].to_numpy().tolist() == [["dpo", "kto"]]


def test_at_a_kl_that_none_reaches_nothing_is_told() -> None:
    found = made_up({"dpo": 1.1, "ipo": 2.1}).at_kl(9.0)
    assert found.table["mean"].isna().all()
    assert found.differences.empty


def test_at_equal_reward_less_kl_is_better() -> None:
    found = made_up({"ipo": 1.1, "dpo": 2.1}).at_quality()
    # ipo ends with 1 * sqrt(4), for which dpo needs (2 / (2 + wiggle))^2.
    assert (found.along, found.at, found.measured) == ("reward", 2.0, "kl")
    assert found.table["loss"].tolist() == ["dpo", "ipo"]
    needed = [(2 / (2 + wiggle)) ** 2 for wiggle in WIGGLE]
    assert found.table["mean"].tolist() == pytest.approx([sum(needed) / 5, 4.0])
    assert found.table["best_rank"].tolist() == found.table["worst_rank"].tolist() == [1, 2]


def test_every_point_of_a_curve_is_the_reading_there() -> None:
    comparison = made_up({"dpo": 1.1, "ipo": 2.1}, reach={"ipo": 2.25})
    curves = comparison.curves()
    assert curves.groupby("loss")["kl"].max().to_dict() == {"dpo": 4.0, "ipo": 2.25}
    assert curves.groupby("loss").size().min() > 10
    for point in curves[curves["loss"] == "dpo"].itertuples():
        row = comparison.at_kl(point.kl).table.set_index("loss").loc["dpo"]
        assert (point.mean, point.low, point.high) == (row["mean"], row["low"], row["high"])


# -- real ones ----------------------------------------------------------------------------------


@pytest.fixture
def config(small: dict[str, Any], model_folder: Path, tmp_path: Path) -> TrainConfig:
    """Four steps of eight pairs, an evaluation every two, from the very small model on disk."""
    changed = {"max_steps": 4, "eval_every": 2, "model": str(model_folder), "lr": 1e-2}
    return TrainConfig(**{**small, **changed, "out": str(tmp_path / "out")})


KINDS = ("dpo", "kto", "simpo", "sft")
FEW = {"dpo": (0.5,), "kto": (0.5,), "simpo": (2.0,)}


class Compared(NamedTuple):
    config: TrainConfig
    found: MethodComparison
    told: list[tuple[str, float]]


@pytest.fixture(scope="module")
def made() -> list[Compared]:
    """What `compared` gives, once it is there."""
    return []


@pytest.fixture
def compared(
    config: TrainConfig, made: list[Compared], tmp_path_factory: pytest.TempPathFactory
) -> Compared:
    """All of them in two seeds, trained once; not to be changed."""
    if not made:
        there = TrainConfig(**{**vars(config), "out": str(tmp_path_factory.mktemp("compared"))})
        told: list[tuple[str, float]] = []
        found = compare_methods(
            there, KINDS, (0, 1), FEW, processes=1, progress=lambda *what: told.append(what)
        )
        made.append(Compared(there, found, told))
    return made[0]


def test_all_methods_get_the_same_pairs_and_steps(config: TrainConfig, trained: Model) -> None:
    runs = [
        Run.create(one.config, base=copy.deepcopy(trained))
        for one in plan(config, KINDS, [3], {**FEW, "sft": ()})
    ]
    (pairs, *others) = runs
    assert len(pairs.data.train_texts) > 20
    for run in others:
        assert run.data.train_texts == run.method.from_pairs(pairs.data.train_texts)
        assert run.data.held_out_texts == run.method.from_pairs(pairs.data.held_out_texts)
        assert (run.total, run.config.lr, run.config.seed) == (4, pairs.config.lr, 3)
    assert [run.config.batch_size for run in runs] == [8, 16, 8, 8]


def test_every_evaluation_is_a_row_measured_alike(compared: Compared) -> None:
    found, frame = compared.found, compared.found.frame
    assert found.quality == "reward"
    assert frame.groupby(["loss", "seed"])["step"].apply(list).tolist() == [[0, 2, 4]] * 8
    assert frame.groupby("loss")["method"].first().to_dict() == {
        "dpo": "preference", "kto": "kto", "simpo": "preference", "sft": "sft",
    }  # fmt: skip
    assert frame.groupby("loss")["value"].first().dropna().to_dict() == {
        "dpo": 0.5, "kto": 0.5, "simpo": 2.0,
    }  # fmt: skip
    # The same model, prompts and seeds: before the first step all methods measure the same.
    measured = ["kl", "reward", "grammatical", "length", "accuracy"]
    starts = frame[frame["step"] == 0]
    assert (starts.groupby("seed")[measured].nunique() == 1).all(axis=None)
    assert (starts["kl"] == 0).all()
    assert (starts["accuracy"] == 0.5).all()
    ends = frame[frame["step"] == 4]
    assert (ends["kl"] != 0).all(), "also of methods without a reference"
    # 36 pairs or 38 make one batch of four or six, which is among these four.
    assert (ends["pairs"] == 30).all()
    assert (ends["seconds"] > 0).all()
    assert not frame["diverged"].any()
    counted = [what for what in compared.told if what[0].endswith("runs")]
    assert counted == [(f"{done} of 8 runs", done / 8) for done in range(9)]


def test_a_run_measures_what_it_measures_alone(
    config: TrainConfig, compared: Compared, trained: Model
) -> None:
    frame = compared.found.frame
    run = Run.create(
        TrainConfig(**{**vars(config), "out": None, "beta": 0.5}), base=copy.deepcopy(trained)
    )
    for _ in run:
        pass
    alone = run.evaluate()
    row = frame[(frame["loss"] == "dpo") & (frame["seed"] == 0) & (frame["step"] == 4)].iloc[0]
    assert row["kl"] == alone["held_out/kl/policy_reference"]
    assert row["kl_se"] == alone["held_out/kl/policy_reference_se"]
    assert row["length"] == alone["held_out/samples/length"]
    assert row["held_out_loss"] == alone["held_out/loss"]
    ties = alone["held_out/rewards/ties"] / 2
    assert row["accuracy"] == alone["held_out/rewards/accuracies"] + ties


def test_the_rows_are_one_csv(compared: Compared) -> None:
    table = pd.read_csv(Path(str(compared.config.out)) / "methods.csv")
    assert table.columns.tolist() == [
        "method", "loss", "strength", "value", "seed", "step", "kl", "kl_se", "reward",
        "grammatical", "length", "accuracy", "held_out_loss", "pairs", "seconds", "diverged",
    ]  # fmt: skip
    assert table["kl"].tolist() == compared.found.frame["kl"].tolist()
    assert len(table) == 4 * 2 * 3


def test_an_interrupted_comparison_goes_on_with_what_is_missing(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_first(text: str, share: float) -> None:
        if share > 0 and text.endswith("runs"):
            raise KeyboardInterrupt

    ask = (config, ["dpo", "simpo"], (0, 1), FEW)
    few = {name: FEW[name] for name in ("dpo", "simpo")}
    with pytest.raises(KeyboardInterrupt):
        compare_methods(*ask[:3], few, processes=1, progress=stop_after_first)
    folder = Path(str(config.out)) / "runs"
    (first,) = folder.iterdir()
    kept = first.read_bytes()
    assert first.name.startswith("dpo-beta=0.5-seed=0-")

    trained = []
    original = planned_runs._rows

    def count(planned: Any, *rest: Any) -> Any:
        trained.append((planned.loss, planned.config.seed))
        return original(planned, *rest)

    monkeypatch.setattr(planned_runs, "_rows", count)
    compare_methods(*ask[:3], few, processes=1)
    assert sorted(trained) == [("dpo", 1), ("simpo", 0), ("simpo", 1)]
    assert first.read_bytes() == kept
    # With another setting nothing that is there is taken for it, with the same nothing is trained.
    trained.clear()
    compare_methods(*ask[:3], few, processes=1)
    assert trained == []
    compare_methods(
        TrainConfig(**{**vars(config), "lr": 2e-2}), ["dpo"], (0, 1), {"dpo": (0.5,)}, processes=1
    )
    assert trained == [("dpo", 0), ("dpo", 1)]


SPOILT: tuple[tuple[Callable[[str], str], str], ...] = (
    (lambda text: text[:100], "can't be read"),
    (lambda text: "", "can't be read"),
    (lambda text: "{}", "does not hold the rows of its run"),
    (lambda text: '"text"', "can't be read"),
    (lambda text: "[]", "does not hold the rows of its run"),
    (lambda text: text.replace('"seed": 0', '"seed": 1'), "does not hold the rows of its run"),
    (lambda text: text.replace('"reward"', '"award"'), "does not hold the rows of its run"),
)


def test_a_spoilt_file_of_a_run_is_told_with_what_helps(config: TrainConfig) -> None:
    ask = (config, ["dpo"], (0, 1), {"dpo": (0.5,)})
    before = compare_methods(*ask, processes=1).frame
    path, other = sorted((Path(str(config.out)) / "runs").iterdir())
    whole = path.read_text()
    other.unlink()
    for spoil, said in SPOILT:
        path.write_text(spoil(whole))
        told = f"{path.name} {said}.*; remove it, and this run is"
        with pytest.raises(WorkbenchError, match=told):
            compare_methods(*ask, processes=1)
        assert not other.exists(), "it is told before anything is trained"
    path.unlink()
    again = compare_methods(*ask, processes=1).frame
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), before.drop(columns="seconds"))


def test_a_loss_without_a_strength_is_compared_too(config: TrainConfig) -> None:
    found = compare_methods(config, ["sft"], (0, 1), processes=1).at_kl()
    (row,) = found.table.itertuples()
    assert (row.loss, row.strength, row.best_rank) == ("sft", None, 1)
    assert row.reaches > 0
    assert row.low <= row.mean <= row.high
    assert found.differences.empty


def test_every_setting_makes_other_runs(config: TrainConfig) -> None:
    """Also those that are of the evaluation alone."""
    changes = ({}, {"samples": 5}, {"max_new_tokens": 13}, {"eval_every": 1}, {"held_out": 13})
    files = {
        plan(TrainConfig(**{**vars(config), **change}), ["dpo"], [0], {"dpo": (0.1,)})[0].file
        for change in changes
    }
    assert len(files) == len(changes)
    elsewhere = TrainConfig(**{**vars(config), "out": "elsewhere"})
    assert plan(elsewhere, ["dpo"], [0], {"dpo": (0.1,)})[0].file in files


def test_another_file_of_pairs_makes_other_runs(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    config = TrainConfig(data=str(data))
    names = []
    for text in ("superb", "fine"):
        data.write_text(json.dumps({"prompt": "a", "chosen": text, "rejected": "awful"}))
        names.append(plan(config, ["dpo"], [0], {"dpo": (0.1,)})[0].file)
    assert names[0] != names[1]


@pytest.mark.long
def test_processes_side_by_side_give_the_same_rows(config: TrainConfig, compared: Compared) -> None:
    both = compare_methods(config, ["kto"], (0, 1), {"kto": (0.5,)}, processes=2)
    alone = compared.found.frame[compared.found.frame["loss"] == "kto"].reset_index(drop=True)
    pd.testing.assert_frame_equal(both.frame.drop(columns="seconds"), alone.drop(columns="seconds"))


def test_an_error_of_a_process_is_told(config: TrainConfig, tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text(json.dumps({"prompt": "a film", "chosen": "superb", "rejected": "awful"}))
    broken = TrainConfig(**{**vars(config), "data": str(data)})
    with pytest.raises(WorkbenchError, match="held_out is 12"):
        compare_methods(broken, ["dpo"], (0, 1), {"dpo": (0.5,)}, processes=2)


def test_without_a_true_reward_the_accuracy_is_compared(
    config: TrainConfig, tmp_path: Path
) -> None:
    data = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"review of the {topic}", "chosen": "it was superb", "rejected": "it was awful"}
        for topic in ("film", "book", "hotel", "game", "song", "show")
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    own = {"data": str(data), "held_out": 2, "batch_size": 2, "max_steps": 2, "out": None}
    found = compare_methods(
        TrainConfig(**{**vars(config), **own}), ["dpo", "kto"], (0, 1),
        {"dpo": (0.5,), "kto": (0.5,)}, processes=1,
    )  # fmt: skip
    assert found.quality == "accuracy"
    assert found.at_kl().measured == "accuracy"
    assert found.frame["accuracy"].between(0, 1).all()


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "asked", "told"),
    [
        ({}, {"methods": ["dpoo"]}, "loss='dpoo' is unknown"),
        ({}, {"methods": "dpo"}, "methods='dpo' is not accepted: a list"),
        ({}, {"methods": []}, r"methods=\[\] is not accepted"),
        ({}, {"methods": ["dpo", "dpo"]}, "different losses"),
        ({}, {"methods": ["bradley_terry"]}, "bradley_terry trains no model that writes texts"),
        ({}, {"seeds": [0]}, r"seeds=\[0\] is not accepted: two or more"),
        ({}, {"seeds": [0, 0]}, "two or more different ones"),
        ({}, {"seeds": [0, -1]}, "seed=-1 is not accepted"),
        ({}, {"strengths": {"ipo": (1.0,)}}, "strengths name 'ipo'; accepted: dpo, sft"),
        ({}, {"strengths": {"dpo": ()}}, r"strengths\['dpo'\]=\(\) is not accepted"),
        ({}, {"strengths": {"dpo": (1.0, 1.0)}}, "a list of different values"),
        ({}, {"strengths": {"dpo": (-1.0,)}}, "beta=-1.0 is not accepted"),
        ({}, {"strengths": {"sft": (1.0,)}}, "sft has no strength"),
        ({}, {"processes": 0}, "processes=0 is not accepted"),
        ({"beta": 0.2}, {}, "beta=0.2 is not accepted: a comparison sets it itself"),
        ({"loss": "ipo"}, {}, "loss='ipo' is not accepted: a comparison sets it itself"),
        ({"method": "kto"}, {}, "method='kto' is not accepted"),
        ({"samples": 0}, {}, "samples=0 is not accepted"),
        ({"data": "pairs.jsonl", "held_out": 0}, {}, "held_out=0 is not accepted"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    config: TrainConfig, changes: dict[str, Any], asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(WorkbenchError, match=told) as caught:
        compare_methods(
            TrainConfig(**{**vars(config), **changes}), **{"methods": ["dpo", "sft"], **asked}
        )
    assert "\n" not in str(caught.value)
    assert not Path(str(config.out)).exists()
