"""KTO: values and gradients worked out here, whatever the step is split into; what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.core.batch import Completion, SequenceBatch
from workbench.core.losses import LOSSES, LabelledLogps
from workbench.core.transformer import Transformer
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.runs.sweep import sweep
from workbench.train.batches import batches_for
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent
from workbench.train.method import find_method
from workbench.train.reference.live import LiveReference

KTO = find_method("kto")
PAD, LONGEST = 0, 24


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Two prompts; a desirable and an undesirable completion, of unequal lengths.
ITEMS = KTO.complete(
    [
        Completion((1, 2), (3, 4, 5), True),
        Completion((6, 7, 8), (9,), False),
        Completion((1, 2), (10, 11), False),
        Completion((6, 7, 8), (12, 13, 14, 15), True),
        Completion((16,), (17, 18), True),
    ],
    [],
    LONGEST,
)


def collate(items: list[Completion], layout: str = "stacked") -> SequenceBatch:
    return KTO.collate(items, PAD, layout, [ITEMS.index(item) for item in items])


# -- values ------------------------------------------------------------------------------------


def test_values_by_hand() -> None:
    """beta 0.5, z 1: log-ratios 3, -2, 0 are 2, -3, -1 above z."""
    logps = LabelledLogps(
        policy=torch.tensor([-5.0, -9.0, -4.0]),
        reference=torch.tensor([-8.0, -7.0, -4.0]),
        labels=torch.tensor([True, False, True]),
        z=torch.tensor(1.0),
    )
    values = LOSSES["kto"](logps, beta=0.5, desirable_weight=2.0, undesirable_weight=3.0)
    # desirable: 2 (1 - sigmoid(0.5 * 2)); undesirable: 3 (1 - sigmoid(0.5 * (1 - -2)))
    expected = [2 * (1 - sigmoid(1.0)), 3 * (1 - sigmoid(1.5)), 2 * (1 - sigmoid(-0.5))]
    assert values.tolist() == pytest.approx(expected, rel=1e-6)


def test_slopes_by_hand() -> None:
    """d/d logp of 1 - sigmoid(b (r - z)) is -b s (1 - s); for undesirable ones +b s (1 - s)."""
    policy = torch.tensor([-5.0, -9.0], dtype=torch.float64, requires_grad=True)
    logps = LabelledLogps(
        policy, torch.tensor([-8.0, -7.0]), torch.tensor([True, False]), torch.tensor(1.0)
    )
    LOSSES["kto"](logps, beta=0.5, undesirable_weight=4.0).sum().backward()
    one, other = sigmoid(0.5 * (3 - 1)), sigmoid(0.5 * (1 + 2))
    expected = [-0.5 * one * (1 - one), 4 * 0.5 * other * (1 - other)]
    assert policy.grad is not None
    assert policy.grad.tolist() == pytest.approx(expected, rel=1e-6)


def test_far_log_ratios_stay_finite() -> None:
    policy = torch.tensor([-1e6, 1e6], requires_grad=True)
    labels = torch.tensor([True, True])
    values = LOSSES["kto"](LabelledLogps(policy, torch.zeros(2), labels, torch.zeros(())), beta=10)
    values.sum().backward()
    assert values.tolist() == [1.0, 0.0]
    assert policy.grad is not None
    assert policy.grad.isfinite().all()


# -- a whole step ------------------------------------------------------------------------------


def written_out(
    policy: Any,
    reference: Any,
    logp: Callable[..., Tensor],
    beta: float,
    weights: dict[bool, float],
) -> tuple[Tensor, float]:
    """(mean loss, z) of one step over `ITEMS`, one sequence at a time; z is a plain number."""
    with torch.no_grad():
        mismatched = [
            float(
                logp(policy, item.prompt, item.mismatched)
                - logp(reference, item.prompt, item.mismatched)
            )
            for item in ITEMS
        ]
    z = max(0.0, sum(mismatched) / len(mismatched))
    losses = []
    for item in ITEMS:
        with torch.no_grad():
            theirs = logp(reference, item.prompt, item.completion)
        ratio = logp(policy, item.prompt, item.completion) - theirs
        sign = 1 if item.label else -1
        losses.append(weights[item.label] * (1 - torch.sigmoid(sign * beta * (ratio - z))))
    return torch.stack(losses).mean(), z


# As (batches, layout): all at once, one by one, and unequal parts.
SPLITS = [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]]


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])
@pytest.mark.parametrize("sizes", SPLITS, ids=str)
@pytest.mark.parametrize("swapped", [False, True], ids=["z as it is", "models swapped"])
def test_a_step_is_that_of_kto_written_out_however_it_is_split(
    policy: Transformer,
    other_model: Transformer,
    logp: Callable[..., Tensor],
    take_step: Any,
    gradients: Any,
    assert_equal_gradients: Any,
    layout: str,
    sizes: list[int],
    swapped: bool,
) -> None:
    models = [policy, other_model]
    trained, reference = reversed(models) if swapped else models
    trained.requires_grad_(True)
    weights = {True: 0.7, False: 1.9}
    loss, z = written_out(trained, reference, logp, 0.3, weights)
    expected = gradients(loss, trained)
    rest, batches = list(ITEMS), []
    for size in sizes:
        batches.append(collate(rest[:size], layout))
        rest = rest[size:]
    found, metrics = take_step(
        trained, batches, LiveReference(reference), method="kto", beta=0.3,
        desirable_weight=0.7, undesirable_weight=1.9,
    )  # fmt: skip
    assert metrics["z"] == pytest.approx(z, rel=1e-6)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert_equal_gradients(found, expected)


def test_z_is_never_below_0(
    policy: Transformer, other_model: Transformer, logp: Callable[..., Tensor]
) -> None:
    """Of these two models one direction has a mean above 0, the other is its negative."""
    zs = [
        written_out(one, two, logp, 0.1, {True: 1.0, False: 1.0})[1]
        for one, two in ((policy, other_model), (other_model, policy))
    ]
    assert min(zs) == 0.0
    assert max(zs) > 0.1
    batch = collate(list(ITEMS))
    for (one, two), z in zip(((policy, other_model), (other_model, policy)), zs, strict=True):
        found = KTO.statistics(one, [batch], {"loss": "kto"}, LiveReference(two))
        assert float(found) == pytest.approx(z, rel=1e-6)


def test_a_batch_that_does_not_count_leaves_z_as_it_is(
    policy: Transformer, other_model: Transformer
) -> None:
    whole, extra = collate(list(ITEMS)), replace(collate(list(ITEMS[:1])), counts=False)
    found = []
    for one, two in ((policy, other_model), (other_model, policy)):
        for batches in ([whole], [whole, extra]):
            reference = LiveReference(two)
            found.append(float(KTO.statistics(one, batches, {"loss": "kto"}, reference)))
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert max(found) > 0.1


def test_no_gradient_goes_through_z(policy: Transformer, reference: LiveReference) -> None:
    assert not KTO.statistics(
        policy, [collate(list(ITEMS))], {"loss": "kto"}, reference
    ).requires_grad


@pytest.mark.parametrize("max_tokens", [0, 4, 8, 14])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(5, 1), (2, 3), (3, 2)])
def test_the_settings_that_split_a_step_leave_it_as_it_is(
    policy: Transformer, reference: LiveReference, take_step: Any, assert_equal_gradients: Any,
    max_tokens: int, batch_size: int, accumulate: int,
) -> None:  # fmt: skip
    whole, told = take_step(policy, [collate(list(ITEMS))], reference, method="kto")
    source = batches_for(KTO, ITEMS, PAD, batch_size, accumulate, "packed", max_tokens=max_tokens)
    assert len(source) == 1
    batches = source.at(0)
    assert max_tokens == 0 or len(batches) >= accumulate
    found, metrics = take_step(policy, batches, reference, method="kto")
    assert_equal_gradients(found, whole)
    for name in ("loss", "z", "rewards/chosen", "rewards/rejected", "rewards/accuracies"):
        assert metrics[name] == pytest.approx(told[name], rel=1e-6)


def test_the_weights_scale_their_labels_alone(
    policy: Transformer, reference: LiveReference
) -> None:
    """With unequal numbers (3 desirable, 2 undesirable) weights of 2 and 3 make both sides 6."""
    batch = collate(list(ITEMS))
    plain = KTO.losses(policy, batch, {"loss": "kto"}, reference, torch.tensor(0.4)).values
    settings = {"loss": "kto", "desirable_weight": 2.0, "undesirable_weight": 3.0}
    weighted = KTO.losses(policy, batch, settings, reference, torch.tensor(0.4)).values
    ratio = (weighted / plain).tolist()
    assert ratio == pytest.approx([2.0 if item.label else 3.0 for item in ITEMS])
    assert KTO.weights(batch).tolist() == [1.0] * 5, "they weigh the loss, not the mean"


# -- mismatched completions -------------------------------------------------------------------

rows = st.lists(
    st.builds(
        Completion,
        st.tuples(st.integers(1, 3)),
        st.lists(st.integers(4, 9), min_size=1, max_size=5).map(tuple),
        st.booleans(),
    ),
    min_size=1,
    max_size=9,
)


@given(rows, rows, st.integers(2, 6))
def test_a_mismatched_completion_is_never_one_of_the_same_prompt(
    items: list[Completion], others: list[Completion], longest: int
) -> None:
    prompts = {item.prompt for item in items + others}
    if len(prompts) == 1:
        with pytest.raises(WorkbenchError, match="all rows have one prompt"):
            KTO.complete(items, others, longest)
        return
    found = KTO.complete(items, others, longest)
    for before, after in zip(items, found, strict=True):
        assert (after.prompt, after.completion) == (before.prompt, before.completion)
        assert 1 <= len(after.mismatched) <= longest - len(after.prompt)
        whole = {
            one.completion[: len(after.mismatched)]
            for one in items + others
            if one.prompt != after.prompt
        }
        assert after.mismatched in whole


def test_the_next_other_prompt_is_taken() -> None:
    one, two = (1,), (2,)
    items = [Completion(one, (3,)), Completion(one, (4,)), Completion(two, (5,))]
    assert [item.mismatched for item in KTO.complete(items, [], 8)] == [(5,), (5,), (3,)]


# -- what is refused --------------------------------------------------------------------------


def test_a_batch_of_one_is_refused(make_run: Callable[..., Run]) -> None:
    with pytest.raises(
        WorkbenchError, match=r"batch_size=1 is not accepted: kto .* two are needed"
    ):
        make_run(method="kto", batch_size=1)


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_a_single_prompt_is_refused(make_run: Callable[..., Run], tmp_path: Path) -> None:
    rows = [
        {"prompt": "review of the film", "completion": f"it was {word}", "label": word == "good"}
        for word in ("good", "bad", "not bad")
    ]
    with pytest.raises(WorkbenchError, match="all rows have one prompt"):
        make_run(method="kto", data=write(tmp_path, rows), held_out=0)


# -- runs -------------------------------------------------------------------------------------

TOPICS = ("film", "book", "hotel", "game", "album", "play")


def labelled_rows(desirable: int, undesirable: int) -> list[dict[str, Any]]:
    """So many completions of each label, each of its own prompt in turn."""
    labels = [True] * desirable + [False] * undesirable
    return [
        {
            "prompt": f"review of the {TOPICS[number % len(TOPICS)]}",
            "completion": f"it was {'good' if label else 'bad'} and number {number}",
            "label": label,
        }
        for number, label in enumerate(labels)
    ]


PAIRS = [
    {"prompt": f"review of the {topic}", "chosen": "it was good", "rejected": "it was bad"}
    for topic in TOPICS
]


def train(make_run: Callable[..., Run], data: str, **settings: Any) -> Run:
    run = make_run(method="kto", data=data, held_out=2, batch_size=4, samples=2, **settings)
    list(run)
    assert run.finished
    return run


def test_unpaired_rows_train(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = train(make_run, write(tmp_path, labelled_rows(7, 5)), undesirable_weight=1.0)
    assert len(run.data.train) + len(run.data.held_out) == 12
    steps = [event for event in run.events if isinstance(event, StepEvent)]
    assert steps[0].metrics["z"] == 0.0
    assert steps[0].metrics["loss"] == pytest.approx(0.5), "1 - sigmoid(0)"
    assert steps[-1].metrics["loss"] < 0.5
    assert run.compares


@pytest.mark.parametrize("extra", [{}, {"completion": "it was"}], ids=["pairs", "and more"])
def test_rows_of_pairs_train_as_two_labelled_ones(
    make_run: Callable[..., Run], tmp_path: Path, extra: dict[str, str]
) -> None:
    run = train(make_run, write(tmp_path, [{**row, **extra} for row in PAIRS]))
    assert run.config.undesirable_weight == 1
    labels = [item.label for item in (*run.data.train, *run.data.held_out)]
    assert len(labels) == 12
    assert sum(labels) == 6
    assert run.held_out_frame().columns[:3].tolist() == ["prompt", "completion", "label"]


@pytest.mark.parametrize(("counts", "label"), [((8, 0), "true"), ((0, 5), "false")])
def test_labels_of_one_kind_alone_are_refused(
    make_run: Callable[..., Run], tmp_path: Path, counts: tuple[int, int], label: str
) -> None:
    reason = f"label is {label} in all {sum(counts)} rows to train on; accepted are rows of both"
    with pytest.raises(WorkbenchError, match=reason):
        make_run(method="kto", data=write(tmp_path, labelled_rows(*counts)), held_out=0)


@pytest.mark.parametrize(
    ("asked", "weights"),
    [
        ({}, (1, 2)),
        ({"desirable_weight": 1.0}, (1, 1)),
        ({"undesirable_weight": 4 / 3}, (1, 4 / 3)),
        ({"desirable_weight": 0.5, "undesirable_weight": 3.0}, (0.5, 3)),
    ],
    ids=["both open", "one given", "other given", "both given"],
)
def test_open_weights_even_out_the_labels_and_given_ones_stay(
    make_recorded: Callable[..., Run],
    tmp_path: Path,
    asked: dict[str, float],
    weights: tuple[float, float],
) -> None:
    """8 desirable and 4 undesirable rows: at first each has weight * 0.5, so the first loss is
    (8 * 0.5 * desirable + 4 * 0.5 * undesirable) / 12; with weights of 1 and 2 it is 2 / 3."""
    rows = write(tmp_path, labelled_rows(8, 4))
    settings = {"method": "kto", "data": rows, "held_out": 0, "batch_size": 12, "samples": 0}
    run = make_recorded(**settings, max_steps=2, **asked)
    first = next(event for event in run if isinstance(event, StepEvent))
    names = ("desirable_weight", "undesirable_weight")
    expected = dict(zip(names, weights, strict=True))
    assert {name: first.metrics[name] for name in names} == pytest.approx(expected)
    loss = (8 * 0.5 * weights[0] + 4 * 0.5 * weights[1]) / 12
    assert first.metrics["loss"] == pytest.approx(loss)
    list(run)
    assert run.record is not None
    kept, summary = run.record.config(), run.record.summary()
    assert {name: getattr(kept, name) for name in names} == pytest.approx(expected)
    assert summary is not None
    assert {name: summary["settings"][name] for name in names} == pytest.approx(expected)


def test_the_rarer_label_counts_more_whichever_it_is() -> None:
    items = [Completion((1,), (2,), label) for label in (True, False, False, False)]
    found = KTO.open_settings(items, TrainConfig(method="kto"))
    assert found == {"desirable_weight": 3.0, "undesirable_weight": 1.0}
    assert KTO.open_settings(items[:2], TrainConfig(method="kto")) == dict.fromkeys(found, 1.0)


def test_a_sweep_evens_out_the_labels_too(trained: Model, tmp_path: Path, small: Any) -> None:
    data = write(tmp_path, labelled_rows(6, 3))
    config = TrainConfig(
        **{**small, "data": data, "held_out": 0, "out": str(tmp_path / "runs"), "max_steps": 1},
        method="kto",
    )
    list(sweep(config, {"lr": [1e-4, 1e-3]}, base=trained))
    kept = [Record(folder).config() for folder in sorted((tmp_path / "runs").iterdir())]
    assert [(one.desirable_weight, one.undesirable_weight) for one in kept] == [(1, 2), (1, 2)]


def test_live_weights_can_still_be_moved(make_run: Callable[..., Run], tmp_path: Path) -> None:
    rows = write(tmp_path, labelled_rows(8, 4))
    run = make_run(method="kto", data=rows, held_out=0, batch_size=12, samples=0)
    next(event for event in run if isinstance(event, StepEvent))
    run.control.set(desirable_weight=0.5)
    changed = next(event for event in run if isinstance(event, StepEvent))
    assert changed.metrics["desirable_weight"] == 0.5
    assert changed.metrics["undesirable_weight"] == 2.0


def test_held_out_metrics_are_those_of_the_items(
    make_run: Callable[..., Run], logp: Callable[..., Tensor]
) -> None:
    run = make_run(method="kto", beta=0.4, undesirable_weight=1.7, lr=1e-2)
    list(run)
    assert run.reference.loaded
    theirs, items = run.reference.model, run.data.held_out
    assert len({item.prompt for item in items}) > 1
    with torch.no_grad():

        def ratio(prompt: tuple[int, ...], completion: tuple[int, ...]) -> float:
            return float(logp(run.policy, prompt, completion) - logp(theirs, prompt, completion))

        ratios = [ratio(item.prompt, item.completion) for item in items]
        typical = [ratio(item.prompt, item.mismatched) for item in items]
    z = max(0.0, sum(typical) / len(typical))
    losses = [
        1 - sigmoid(0.4 * (r - z)) if item.label else 1.7 * (1 - sigmoid(0.4 * (z - r)))
        for r, item in zip(ratios, items, strict=True)
    ]
    good = [r for r, item in zip(ratios, items, strict=True) if item.label]
    bad = [r for r, item in zip(ratios, items, strict=True) if not item.label]
    right = [(r > z) if item.label else (r < z) for r, item in zip(ratios, items, strict=True)]
    last = [event for event in run.events if isinstance(event, EvalEvent)][-1].metrics
    expected = {
        "loss": sum(losses) / len(losses),
        "z": z,
        "logratios/chosen": sum(good) / len(good),
        "logratios/rejected": sum(bad) / len(bad),
        "rewards/chosen": 0.4 * sum(good) / len(good),
        "rewards/rejected": 0.4 * sum(bad) / len(bad),
        "rewards/margins": 0.4 * (sum(good) / len(good) - sum(bad) / len(bad)),
        "rewards/accuracies": sum(right) / len(right),
    }
    assert {n: last[f"held_out/{n}"] for n in expected} == pytest.approx(expected, abs=2e-4)
    assert last == run.evaluate()
    frame = run.held_out_frame()
    assert frame["loss"].tolist() == pytest.approx(losses, abs=2e-4)
