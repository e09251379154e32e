"""Each symptom on readings made by hand: found, not found, and not to be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from workbench.data.pairs import TextPair
from workbench.runs.doctor.diagnose import SYMPTOMS, diagnose
from workbench.runs.doctor.diagnosis import CANNOT_TELL, FOUND, NOT_FOUND, Diagnosis
from workbench.runs.doctor.logged_metrics import Readings, Series, Texts
from workbench.runs.doctor.parts import Parts

STEPS = 40
LOG_2 = 0.6931


def line(first: float, last: float, count: int = STEPS, begin: int = 1) -> Series:
    """Values on a line from `first` to `last`, a step apart."""
    share = [index / (count - 1) for index in range(count)]
    return Series(tuple((begin + n, first + s * (last - first)) for n, s in enumerate(share)))


def evaluated(first: float, last: float) -> Series:
    """The same at steps 0, 10, ... 40."""
    return Series(tuple((10 * s, v) for s, v in line(first, last, 5, 0).points))


TRAINING = {
    "loss": line(LOG_2, 0.45),
    "rewards/margins": line(0.0, 0.8),
    "rewards/accuracies": line(0.5, 0.8),
    "grad_norm": line(0.3, 0.4),
    "lr": line(5e-4, 5e-4),
}
HELD_OUT = {
    "loss": evaluated(LOG_2, 0.45),
    "logratios/chosen": evaluated(0.0, -3.0),
    "logratios/rejected": evaluated(0.0, -11.0),
    "logps/chosen": evaluated(-12.0, -15.0),
    "lengths/chosen": evaluated(15.0, 15.0),
    "lengths/rejected": evaluated(15.0, 15.0),
    "rewards/accuracies": evaluated(0.0, 0.8),
    "rewards/accuracies_low": evaluated(0.0, 0.7),
    "rewards/accuracies_high": evaluated(0.1, 0.9),
    "rewards/ties": evaluated(1.0, 0.0),
    "samples/length": evaluated(14.0, 18.0),
    "samples/reward": evaluated(-0.1, 0.7),
    "samples/grammatical": evaluated(1.0, 0.9),
    "kl/policy_reference": evaluated(0.0, 4.0),
}
PAIRS = [TextPair(f"prompt {n}", f"it was good {n}", f"it was bad {n}", n) for n in range(100)]
SOUND = Readings(
    "run", "finished", STEPS, STEPS, TRAINING, HELD_OUT, True, {"beta": 0.1, "samples": 64}, 3, 100,
    (Texts(0, ("a b c d",)), Texts(20, ("a b c e",)), Texts(40, ("a b c f",))), {}, {},
    Parts(PAIRS[:80], PAIRS[80:]),
)  # fmt: skip


def changed(
    training: dict[str, Series | None] | None = None,
    held_out: dict[str, Series | None] | None = None,
    **others: Any,
) -> Readings:
    """Sound readings but for these; None takes a metric out."""

    def merged(kept: Any, new: Any) -> dict[str, Series]:
        return {n: v for n, v in {**kept, **(new or {})}.items() if v is not None}

    return replace(
        SOUND,
        training=merged(TRAINING, training),
        held_out=merged(HELD_OUT, held_out),
        **others,
    )


def said(name: str, seen: Readings) -> Diagnosis:
    """What is said of one symptom."""
    (one,) = [one for one in diagnose(seen).diagnoses if one.name == name]
    return one


def test_a_sound_run_has_none_and_everything_is_told() -> None:
    report = diagnose(SOUND)
    assert {one.verdict for one in report.diagnoses} == {NOT_FOUND}
    assert report.verdict == "finished, step 40 of 40: nothing found"


LEAKED = Parts(PAIRS[:80], [replace(PAIRS[3], prompt=" PROMPT  3 "), *PAIRS[90:]])
SAME_PAIR = Parts(PAIRS[:80], [replace(PAIRS[3], prompt="another"), *PAIRS[90:]])
CASES: dict[str, tuple[Readings, str, str]] = {
    "reference is not the start": (
        changed(held_out={"logratios/rejected": evaluated(-0.9, -11.0)}),
        "logratios/rejected is -0.9 at step 0",
        "same weights",
    ),
    "held-out leakage": (changed(parts=LEAKED), "of 11 held-out rows 1 have", "group"),
    "learning rate too large": (
        changed(held_out={"kl/policy_reference": evaluated(0.0, 300.0)}),
        "nats per token at step 10 of 40",
        "a tenth of 0.0005",
    ),
    "learning rate too small": (
        changed(
            held_out={
                "logratios/chosen": evaluated(0.0, 0.005),
                "logratios/rejected": evaluated(0.0, -0.005),
            }
        ),
        "changed by +0.01 nats by step 40 at 0.0005",
        "tenfold",
    ),
    "labels flipped": (
        changed(held_out={"samples/reward": evaluated(-0.1, -0.8)}),
        "goes from -0.10 to -0.80",
        "by eye",
    ),
    "learns the reverse": (
        changed(
            training={"rewards/accuracies": line(0.5, 0.2)},
            held_out={
                "rewards/accuracies_low": evaluated(0.0, 0.1),
                "rewards/accuracies_high": evaluated(0.1, 0.3),
            },
        ),
        "at most 0.30",
        "another loss",
    ),
    "stuck at log 2": (
        changed(
            training={"loss": line(LOG_2, 0.69)},
            held_out={
                "loss": evaluated(LOG_2, 0.70),
                "rewards/accuracies_low": evaluated(0.0, 0.4),
                "rewards/accuracies_high": evaluated(0.1, 0.6),
            },
        ),
        "accuracy 0.40 to 0.60",
        "preflight",
    ),
    "memorised pairs": (
        changed(
            training={"loss": line(LOG_2, 0.01), "rewards/accuracies": line(0.5, 1.0)},
            held_out={"loss": evaluated(LOG_2, 0.66)},
        ),
        "0.66 held out after 3 epochs",
        "--max-steps 40",
    ),
    "over-optimisation": (
        changed(held_out={"samples/grammatical": evaluated(1.0, 0.2)}),
        "100% of its texts parsed at the start, 20% do now",
        "near step 0",
    ),
    "KL exploding": (
        changed(held_out={"kl/policy_reference": evaluated(0.0, 40.0)}),
        "40 nats per answer at step 40, 2.2 per token",
        "0.4",
    ),
    "chosen falling": (
        changed(held_out={"logps/chosen": evaluated(-12.0, -42.0)}),
        "lost 30 nats while the margin grew by 8; 2 per token",
        "dpop",
    ),
    "length growing": (
        changed(held_out={"samples/length": evaluated(14.0, 38.0)}),
        "answers have 32 tokens, 14 at the start; the chosen have 15",
        "rdpo",
    ),
    "repetition": (
        changed(texts=(*SOUND.texts[:1], Texts(20, ("so so so so so",)), Texts(40, ("x x x x",)))),
        "steps 20, 40",
        "larger beta",
    ),
    "evaluation too small": (
        changed(held_out_items=12),
        "accuracy 0.80 of 12 held-out rows, 95% interval 0.70 to 0.90",
        "--held-out 60",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_with_its_evidence_and_what_to_try(name: str) -> None:
    seen, evidence, todo = CASES[name]
    found = said(name, seen)
    assert found.verdict == FOUND
    assert evidence in found.evidence
    assert todo in found.next


def test_every_symptom_has_a_case() -> None:
    assert [one.name for one in diagnose(SOUND).diagnoses] == list(CASES)
    assert len(SYMPTOMS) == len(CASES)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_told_of_a_run_that_logged_nothing(name: str) -> None:
    told = said(name, Readings("run", "finished", STEPS, STEPS, compares=None))
    assert told.verdict == CANNOT_TELL
    assert told.evidence


def test_a_state_without_evaluations_is_read_from_its_training_steps() -> None:
    sound = changed(held_out=dict.fromkeys(HELD_OUT), held_out_items=None, parts="none", texts=())
    assert [one.name for one in diagnose(sound).found] == ["evaluation too small"]
    still = {"loss": line(LOG_2, LOG_2), "rewards/margins": line(0.0, 0.0)}
    frozen = replace(sound, training={**TRAINING, **still})
    assert "all margins are 0 up to step 40" in said("stuck at log 2", frozen).evidence
    assert "adapters" in said("stuck at log 2", frozen).next
    # Half the loss again, over a tenth of the steps.
    spike = {**TRAINING, "loss": Series((*TRAINING["loss"].points[:-4], *line(2, 2, 4, 37).points))}
    assert said("learning rate too large", replace(sound, training=spike)).found


@pytest.mark.parametrize("step", [3, 13])
def test_too_early_is_said_for_what_takes_time(step: int) -> None:
    seen = replace(CASES["stuck at log 2"][0], state="running", step=step)
    assert said("stuck at log 2", seen).verdict == CANNOT_TELL
    assert f"only {step} of 40 steps" in said("stuck at log 2", seen).evidence
    seen = replace(CASES["learning rate too small"][0], state="running", step=step)
    assert said("learning rate too small", seen).verdict == CANNOT_TELL


def test_a_number_that_is_none_names_metric_and_step() -> None:
    lost = {"grad_norm": Series(TRAINING["grad_norm"].points[:6])}
    for metric in ("loss", "rewards/margins", "logps/chosen", "grad_norm"):
        found = said("learning rate too large", changed(lost, not_finite={"x": 1, metric: 7}))
        assert found.verdict == FOUND
        assert f"{metric} is no finite number at step 7" in found.evidence


@pytest.mark.parametrize("metric", ["grad_norm", "something_custom"])
def test_other_numbers_that_are_none_are_not_blamed_on_the_learning_rate(metric: str) -> None:
    told = said("learning rate too large", replace(SOUND, not_finite={metric: 1}))
    assert told.verdict == NOT_FOUND
    assert f"{metric} is no finite number at step 1, which has other causes" in told.evidence


@pytest.mark.parametrize("steps", [1, 7])
def test_a_few_steps_of_a_sound_run_tell_nothing_of_what_is_still_to_come(steps: int) -> None:
    """The metrics of step 1 are taken before its update, so all are 0."""

    def first(last: float) -> Series:
        return Series(((0, 0.0), (steps, last)))

    training = {"loss": line(LOG_2, 0.69, 7), "rewards/margins": line(0.0, 1e-3, 7),
                "lr": line(1e-4, 7e-4, 7)}  # fmt: skip
    seen = changed(
        {name: Series(one.points[:steps]) for name, one in training.items()},
        {"loss": Series(((0, LOG_2), (steps, 0.691))), "logratios/chosen": first(0.01),
         "logratios/rejected": first(-0.003), "rewards/accuracies_low": first(0.7),
         "rewards/accuracies_high": first(0.9)},
        step=steps, total=steps,
    )  # fmt: skip
    for name in ("stuck at log 2", "learning rate too small"):
        told = said(name, seen)
        assert told.verdict == CANNOT_TELL
        assert "steps at the full learning rate: " in told.evidence


def test_what_held_out_pairs_show_is_no_steady_rise() -> None:
    slow = {"logratios/chosen": evaluated(0.0, 0.008), "logratios/rejected": evaluated(0.0, -0.005)}
    noisy = Series(tuple((step, 0.01 * (-1) ** step) for step in range(1, STEPS + 1)))
    found = said("learning rate too small", changed({"rewards/margins": noisy}, slow))
    assert found.verdict == FOUND
    assert "held-out accuracy is 0.70 to 0.90, above chance" in found.evidence
    assert "rises" not in found.evidence


def test_few_held_out_rows_do_not_accuse_the_labels() -> None:
    seen = CASES["stuck at log 2"][0]
    level = {**seen.training, "rewards/margins": line(0.0, -0.01)}
    few = replace(seen, held_out_items=16, training=level)
    assert said("stuck at log 2", few).verdict == CANNOT_TELL
    near = {"logratios/chosen": evaluated(0.0, 0.01), "logratios/rejected": evaluated(0.0, 0.01)}
    told = said("stuck at log 2", replace(seen, held_out={**seen.held_out, **near}))
    assert told.verdict == CANNOT_TELL
    assert "hardly left the reference" in told.evidence


def test_margins_of_0_are_no_proof_where_held_out_pairs_have_moved() -> None:
    flat = {"loss": line(LOG_2, LOG_2), "rewards/margins": line(0.0, 0.0)}
    told = said("stuck at log 2", changed(flat, {"loss": evaluated(LOG_2, LOG_2)}))
    assert "nothing is trained" not in told.evidence


@pytest.mark.parametrize(
    ("losses", "advice"),
    [((0.6931, 0.6925, 0.8, 1.2), "by eye"), ((0.6931, 0.5, 0.8, 1.2), "--max-steps 10,")],
)
def test_labels_are_looked_at_where_nothing_carries_over(
    losses: tuple[float, ...], advice: str
) -> None:
    kept = Series(tuple((10 * index, loss) for index, loss in enumerate(losses)))
    training = {"loss": line(LOG_2, 0.01), "rewards/accuracies": line(0.5, 1.0)}
    found = said("memorised pairs", changed(training, {"loss": kept}, epochs=20))
    assert found.verdict == FOUND
    assert advice in found.next


def test_a_learning_rate_warms_up_before_a_jump_of_the_kl_counts_as_late() -> None:
    lr = Series(tuple((step, min(step, 20) * 1e-4) for step in range(1, STEPS + 1)))
    kl = Series(((0, 0.0), (10, 0.2), (25, 20.0), (40, 20.0)))
    lengths = Series(tuple((step, 16.0) for step, _ in kl.points))
    jump = {"kl/policy_reference": kl, "samples/length": lengths}
    assert said("learning rate too large", changed({"lr": lr}, jump)).found
    assert not said("learning rate too large", changed(None, jump)).found


def test_nothing_held_out_is_told_of_a_run_that_evaluates_its_answers() -> None:
    answers = {name: one for name, one in HELD_OUT.items() if name.startswith("samples/")}
    seen = replace(SOUND, held_out=answers, held_out_items=0)
    assert "nothing is held out" in said("evaluation too small", seen).evidence


def test_losses_without_a_reference_are_not_measured_against_one() -> None:
    report = diagnose(replace(CASES["reference is not the start"][0], compares=False))
    assert not report.found
    assert {one.name for one in report.unknown} == {
        "reference is not the start", "learns the reverse"
    }  # fmt: skip


def test_training_labels_the_other_way_round_are_flipped_and_nothing_else() -> None:
    low, high = "rewards/accuracies_low", "rewards/accuracies_high"
    seen = changed(held_out={low: evaluated(0, 0.1), high: evaluated(0.1, 0.3),
                             "loss": evaluated(LOG_2, 0.9)})  # fmt: skip
    assert [one.name for one in diagnose(seen).found] == ["labels flipped"]
    assert "training accuracy 0.79" in said("labels flipped", seen).evidence


def test_completions_alone_are_a_leak_where_all_of_a_row_are_shared() -> None:
    assert said("held-out leakage", changed(parts=SAME_PAIR)).found
    short = [replace(pair, chosen="yes") for pair in PAIRS]
    told = said("held-out leakage", changed(parts=Parts(short[:80], short[80:])))
    assert told.verdict == NOT_FOUND


def test_one_bad_evaluation_between_good_ones_is_no_finding() -> None:
    kl = evaluated(0.0, 4.0).points
    jumped = Series((*kl[:-1], (40, 60.0)))
    assert said("KL exploding", changed(held_out={"kl/policy_reference": jumped})).verdict == (
        NOT_FOUND
    )


def test_losses_alone_do_not_show_over_optimisation() -> None:
    blind = {"samples/reward": None, "samples/grammatical": None}
    assert said("over-optimisation", changed(held_out=blind)).verdict == CANNOT_TELL
    rising = Series(((0, LOG_2), (10, 0.4), (20, 0.45), (30, 0.5), (40, 0.6)))
    found = said("over-optimisation", changed(held_out={**blind, "loss": rising}))
    assert "at best 0.4 (step 10)" in found.evidence
    assert "near step 10" in found.next


def test_a_length_that_is_missing_at_some_evaluations_leaves_the_kl_open() -> None:
    once = changed(held_out={"samples/length": Series(((40, 14.0),))})
    assert said("KL exploding", once).verdict == CANNOT_TELL
    far = replace(CASES["KL exploding"][0], settings={"beta": "high"})
    assert said("KL exploding", far).next.startswith("a larger beta")
