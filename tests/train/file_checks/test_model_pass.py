"""What a model's likelihood shows of a file: gibberish, and sides that are nearly all turned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.core.logps import sequence_logps, token_logps
from workbench.data.pairs import encode_pairs, write_jsonl
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.models.load import Model
from workbench.train.file_checks.check_file import check_file
from workbench.train.file_checks.model_pass import (
    SAMPLE,
    completion_sums,
    drawn,
    improbable,
    in_numbers,
    model_pass,
    swapped,
)


def of_means(means: list[tuple[float, float]], tokens: int = 20) -> tuple[Tensor, Tensor]:
    """Sums and lengths of pairs with these nats a token."""
    lengths = torch.full((len(means), 2), float(tokens))
    return torch.tensor(means) * lengths, lengths


def test_sums_are_those_of_the_plain_definition(trained: Model) -> None:
    pairs = Reviews(ReviewsConfig(pairs=12, topics=4)).preferences(None)
    encoded = encode_pairs(pairs, trained.tokenizer, 64).pairs
    sums, lengths = completion_sums(trained, encoded)
    for pair, row, counts in zip(encoded, sums, lengths, strict=True):
        for side, ids in enumerate((pair.chosen, pair.rejected)):
            tokens = torch.tensor([*pair.prompt, *ids])
            mask = torch.arange(len(tokens)) >= len(pair.prompt)
            with torch.no_grad():
                logps = token_logps(trained.policy.logits(tokens[None]), tokens[None])
            assert float(row[side]) == pytest.approx(
                float(sequence_logps(logps, mask[None])), abs=1e-3
            )
            assert counts[side] == len(ids)


def test_sample_is_seeded_and_bounded() -> None:
    assert drawn(5) == [0, 1, 2, 3, 4]
    assert drawn(10_000) == drawn(10_000)
    assert len(set(drawn(10_000))) == SAMPLE


def test_completion_far_below_all_others_is_found_with_its_row() -> None:
    good = [(-2.0 - 0.05 * number, -2.5) for number in range(20)]
    sums, lengths = of_means([*good, (-7.0, -2.0)])
    (finding,) = improbable(sums, lengths, range(101, 122))
    assert finding.rows == (121,)
    assert not finding.wrong


@pytest.mark.parametrize(
    ("low", "tokens"), [((-5.5, -2.0), 20), ((-7.0, -2.0), 7)], ids=["not so low", "too short"]
)
def test_what_good_files_have_is_no_finding(low: tuple[float, float], tokens: int) -> None:
    good = [(-2.0 - 0.05 * number, -2.5) for number in range(20)]
    sums, lengths = of_means([*good, low], tokens)
    assert improbable(sums, lengths, range(21)) == []


def test_file_with_a_wide_spread_has_no_outliers() -> None:
    wide = [(-1.0 - 0.5 * number, -1.0 - 0.5 * number) for number in range(13)]  # to -7
    assert improbable(*of_means(wide), range(13)) == []


def test_file_in_a_language_that_the_model_does_not_know() -> None:
    (finding,) = improbable(*of_means([(-7.0, -7.5)] * 5), range(5))
    assert finding.rows == ()
    assert "hardly knows their language" in finding.text


@pytest.mark.parametrize(("turned", "count", "told"), [(95, 100, 1), (72, 100, 0), (9, 9, 0)])
def test_only_nearly_all_sides_turned_are_told(turned: int, count: int, told: int) -> None:
    """72 of 100 is what a good file of hand-written answers has; 9 of 9 reach down to 70%."""
    means = [(-3.0, -2.0)] * turned + [(-2.0, -3.0)] * (count - turned)
    assert len(swapped(*of_means(means))) == told


def test_sums_alone_are_no_sign_of_turned_sides() -> None:
    """A longer chosen side has the smaller sum for its length alone."""
    sums = torch.tensor([[-40.0, -30.0]] * 50)
    assert swapped(sums, torch.tensor([[20.0, 10.0]] * 50)) == []


def test_copies_of_a_pair_are_no_further_evidence(
    trained: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = Reviews(ReviewsConfig(pairs=4, topics=4)).preferences(None)
    encoded = encode_pairs([*pairs[:3], *[pairs[3]] * 30], trained.tokenizer, 64)
    monkeypatch.setattr(
        "workbench.train.file_checks.model_pass.completion_sums",
        lambda model, given: of_means([(-3.0, -2.0)] * len(given)),
    )
    found, told = model_pass(trained, encoded.pairs, encoded.texts)
    assert not found
    assert "over 33 pairs" in told


def test_numbers_in_a_line() -> None:
    told = in_numbers(*of_means([(-2.0, -3.0), (-2.0, -1.0)]))
    assert "over 2 pairs drawn at random: chosen -2.00, rejected -2.00 nats a token" in told
    assert "more probable in 50% (" in told


def test_check_file_adds_the_pass(model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_jsonl(Reviews(ReviewsConfig(pairs=12, topics=4)).preferences(None), path)
    quick = check_file(path, str(model_folder), quick=True)
    whole = check_file(path, str(model_folder), quick=False)
    assert quick.notes == ()
    assert "the model's pass over 12 pairs" in whole.notes[0]
