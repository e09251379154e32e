"""Every mistake by hand: a model of known probabilities, in units of log 2.

The pair is `how film` with the completions `good` and `the bad`. Each log-ratio is a whole number
of log 2, so with beta 1 and a margin of n log 2 the loss is log(1 + 2^-n).

    row       how   film   good   <eos>  <pad>        how   film   the   bad   <eos>
    policy          1/2    1/2    1/4    1/16               1/2    1/8   1/2   1/4
    reference       1/4    1/8    1/8    1/4                1/4    1/4   1/4   1/2
    log-ratio       +1     +2     +1     -2                 +1     -1    +1    -1

Rightly: chosen 2 + 1 = 3, rejected -1 + 1 - 1 = -1, margin 4, loss log(17/16).
"""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from workbench.compare.mistakes import MISTAKES, ROLES
from workbench.compare.pair_scoring import Scoring, score_pair, score_rows, text_rows
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

PLAIN = Tokenizer.from_words(["how", "film", "good", "the", "bad", "start"])
STARTED = Tokenizer(PLAIN.backend, PLAIN.eos_id, PLAIN.pad_id, [PLAIN.backend.token_to_id("start")])
TEXTS = ("how film", "good", "the bad")
LOG2 = math.log(2)

POLICY = {
    "how film": 1 / 2,
    "film good": 1 / 2,
    "good <eos>": 1 / 4,
    "good <eos> <pad>": 1 / 16,
    "good <eos> <eos>": 1 / 4,
    "film the": 1 / 8,
    "the bad": 1 / 2,
    "bad <eos>": 1 / 4,
}
REFERENCE = {
    "how film": 1 / 4,
    "film good": 1 / 8,
    "good <eos>": 1 / 8,
    "good <eos> <pad>": 1 / 4,
    "good <eos> <eos>": 1 / 2,
    "film the": 1 / 4,
    "the bad": 1 / 4,
    "bad <eos>": 1 / 2,
}


class Table(nn.Module):
    """Knows how likely a word is after the last one to three; what is not named shares the rest."""

    def __init__(self, known: dict[str, float]) -> None:
        super().__init__()
        size = PLAIN.vocab_size
        table = torch.full((size, size, size, size), 1 / size, dtype=torch.float64)
        after: dict[tuple[int, ...], dict[int, float]] = defaultdict(dict)
        for words, probability in known.items():
            *context, word = PLAIN.encode(words)
            after[tuple(context)][word] = probability
        for context in sorted(after, key=len):
            row = torch.full(
                (size,), (1 - sum(after[context].values())) / (size - len(after[context]))
            )
            for word, probability in after[context].items():
                row[word] = probability
            table[(*[slice(None)] * (3 - len(context)), *context)] = row.double()
        self.logits = nn.Parameter(table.log())

    def hidden(self, tokens: Tensor) -> Tensor:
        before = [nn.functional.pad(tokens, (back, 0))[:, : tokens.shape[1]] for back in (2, 1, 0)]
        return self.logits[before[0], before[1], before[2]]

    def head(self, hidden: Tensor) -> Tensor:
        return hidden


def score(*mistakes: str, tokenizer: Tokenizer = PLAIN, texts=TEXTS, width: int = 0) -> Scoring:
    rows = text_rows(tokenizer, *texts, mistakes, width)
    return score_rows(Table(POLICY), Table(REFERENCE), rows, beta=1.0)


def ratios(scoring: Scoring) -> list[float]:
    """Both log-ratios in units of log 2."""
    return [pytest.approx(ratio / LOG2, abs=1e-6) for ratio in scoring.logratios.tolist()]


def scored(scoring: Scoring, tokenizer: Tokenizer = PLAIN) -> list[str]:
    """The scored tokens of both sides, as they are written."""
    pairs = zip(scoring.rows.tokens, scoring.rows.scored, strict=True)
    return [" ".join(tokenizer.tokens(ids[mask].tolist())) for ids, mask in pairs]


def written(scoring: Scoring) -> list[str]:
    return [" ".join(PLAIN.tokens(ids.tolist())) for ids in scoring.rows.tokens]


def test_without_a_mistake() -> None:
    right = score()
    assert written(right) == ["how film good <eos> <pad>", "how film the bad <eos>"]
    assert scored(right) == ["good <eos>", "the bad <eos>"]
    assert [ROLES[role] for role in right.rows.roles[0]] == [
        "prompt", "prompt", "completion", "end", "padding",
    ]  # fmt: skip
    assert ratios(right) == [3, -1]
    assert right.margin == pytest.approx(4 * LOG2)
    assert right.loss == pytest.approx(math.log(17 / 16))
    # sigmoid(-4 log 2) = 1 / (1 + 16): up for the chosen tokens, down for the rejected ones
    up, down = -1 / 17, 1 / 17
    torch.testing.assert_close(
        right.slopes,
        torch.tensor([[0, up, up, 0], [0, down, down, down]], dtype=torch.float64),
    )


def test_mask_off_by_one() -> None:
    # Chosen: <eos> and <pad>, 1 - 2 = -1. Rejected: bad and <eos>, 1 - 1 = 0; no position after it.
    wrong = score("mask_off_by_one")
    assert scored(wrong) == ["<eos> <pad>", "bad <eos>"]
    assert ratios(wrong) == [-1, 0]
    assert wrong.loss == pytest.approx(math.log(1 + 2))
    # The loss asks for 2/3 of a full pull where 1/17 is right, on other tokens.
    pull = 2 / 3
    torch.testing.assert_close(
        wrong.slopes,
        torch.tensor([[0, 0, -pull, -pull], [0, 0, pull, pull]], dtype=torch.float64),
    )


def test_mask_off_by_one_reaches_the_padding_of_both_sides_in_a_wider_batch() -> None:
    assert scored(score("mask_off_by_one", width=7)) == ["<eos> <pad>", "bad <eos> <pad>"]


def test_prompt_scored_cancels_in_the_margin_of_sums() -> None:
    # film after how: +1 on both sides. The first token is predicted by nothing.
    right, wrong = score(), score("prompt_scored")
    assert scored(wrong) == ["film good <eos>", "film the bad <eos>"]
    assert ratios(wrong) == [3 + 1, -1 + 1]
    assert wrong.margin == pytest.approx(right.margin)
    assert wrong.loss == pytest.approx(right.loss)
    # film is pulled up and down by the same amount, so that nothing is left in the gradient
    assert wrong.slopes[:, 0].tolist() == pytest.approx([-1 / 17, 1 / 17])
    assert wrong.gradient_norm == pytest.approx(right.gradient_norm)
    assert wrong.direction(right) == pytest.approx(1.0)


def test_prompt_scored_does_not_cancel_in_means() -> None:
    # (1 + 3) / 3 = 4/3 and (1 - 1) / 4 = 0, where the means of the completions are 3/2 and -1/3.
    assert ratios(score("mean_for_sum", "prompt_scored")) == [4 / 3, 0]


def test_padding_scored() -> None:
    # Chosen: 3 - 2 = 1; the rejected side has no padding. Margin 2, loss log(5/4).
    wrong = score("padding_scored")
    assert scored(wrong) == ["good <eos> <pad>", "the bad <eos>"]
    assert ratios(wrong) == [1, -1]
    assert wrong.loss == pytest.approx(math.log(5 / 4))


def test_padding_scored_depends_on_the_batch_and_the_right_loss_does_not() -> None:
    known = {"policy": POLICY | {"bad <eos> <pad>": 1 / 2}, "reference": dict(REFERENCE)}
    known["reference"]["bad <eos> <pad>"] = 1 / 8  # +2 for one position of padding
    models = Table(known["policy"]), Table(known["reference"])
    for mistakes, expected in (((), (4, 4)), (("padding_scored",), (2, 0))):
        rows = [text_rows(PLAIN, *TEXTS, mistakes, width) for width in (5, 6)]
        margins = [score_rows(*models, row, beta=1.0).margin / LOG2 for row in rows]
        # second position of the chosen side's padding: unknown to both models, so 0
        assert margins == pytest.approx(expected, abs=1e-6)


def test_mask_by_pad_id_loses_the_end() -> None:
    # Chosen 2, rejected -1 + 1 = 0: margin 2. <eos> stands where <pad> stood.
    wrong = score("mask_by_pad_id")
    assert written(wrong)[0] == "how film good <eos> <eos>"
    assert scored(wrong) == ["good", "the bad"]
    assert ratios(wrong) == [2, 0]
    assert wrong.loss == pytest.approx(math.log(5 / 4))


def test_missing_eos_is_the_same_loss_as_a_masked_one() -> None:
    wrong, masked = score("missing_eos"), score("mask_by_pad_id")
    assert written(wrong) == ["how film good <pad>", "how film the bad"]
    assert ratios(wrong) == [2, 0]
    assert wrong.loss == masked.loss
    assert wrong.direction(masked) == pytest.approx(1.0)


def test_the_cosine_of_a_missing_end_by_hand() -> None:
    # Each scored token moves the scores of its own position, along (one-hot - p) of squared length
    # (1 - p)^2 + rest. Unnamed words share what is left evenly, so rest is left^2 / their number.
    words = PLAIN.vocab_size

    def squared(p: float, left: float, unnamed: int) -> float:
        return (1 - p) ** 2 + left**2 / unnamed

    first = 2.0  # after film: good up and the down by the same amount, (1, -1)
    bad = squared(1 / 2, 1 / 2, words - 1)
    ends = 2 * squared(1 / 4, 3 / 4, words - 1)
    wrong, right = score("missing_eos"), score()
    assert wrong.direction(right) == pytest.approx(math.sqrt((first + bad) / (first + bad + ends)))
    # sigmoid of minus the margin: 1/5 where 1/17 is right
    assert right.gradient_norm == pytest.approx(math.sqrt(first + bad + ends) / 17)
    assert wrong.gradient_norm == pytest.approx(math.sqrt(first + bad) / 5)


def test_doubled_eos() -> None:
    # A second <eos> after good: 1/4 against 1/2, -1. After bad: both models know nothing of it, 0.
    wrong = score("doubled_eos")
    assert scored(wrong) == ["good <eos> <eos>", "the bad <eos> <eos>"]
    assert [ROLES[role] for role in wrong.rows.roles[0]][-3:] == ["end", "end", "padding"]
    assert ratios(wrong) == [3 - 1, -1 + 0]
    assert wrong.loss == pytest.approx(math.log(9 / 8))


def test_mean_for_sum() -> None:
    # 3 / 2 and -1 / 3: margin 11/6. A chosen token is pulled by w / 2, a rejected one by w / 3.
    wrong = score("mean_for_sum")
    assert ratios(wrong) == [3 / 2, -1 / 3]
    pull = 1 / (1 + 2 ** (11 / 6))
    assert wrong.slopes[0].tolist() == pytest.approx([0, -pull / 2, -pull / 2, 0])
    assert wrong.slopes[1].tolist() == pytest.approx([0, pull / 3, pull / 3, pull / 3])


def test_tokenised_together() -> None:
    # "how filmgood" and "how filmthe bad": film and the next word melt into one unknown word, which
    # counts as the prompt's second. Chosen: <eos> alone, after <unk>: 0. Rejected: bad after <unk>
    # 0, <eos> -1.
    wrong = score("tokenised_together")
    assert written(wrong) == ["how <unk> <eos> <pad>", "how <unk> bad <eos>"]
    assert scored(wrong) == ["<eos>", "bad <eos>"]
    assert ratios(wrong) == [0, -1]
    assert wrong.loss == pytest.approx(math.log(3 / 2))


def test_tokenised_together_changes_nothing_behind_a_blank() -> None:
    texts = ("how film ", "good", "the bad")
    wrong = score("tokenised_together", texts=texts)
    assert wrong.rows.same_as(score(texts=texts).rows)


def test_tokenised_together_keeps_start_and_template() -> None:
    started = score("tokenised_together", tokenizer=STARTED, texts=("how film ", "good", "bad"))
    assert written(started)[0].startswith("start how film good")
    template = "start {{ messages[0].content }} the "
    chat = Tokenizer(PLAIN.backend, PLAIN.eos_id, PLAIN.pad_id, (), template)
    rows = text_rows(chat, "how", "good", "bad", ["tokenised_together"])
    assert rows.same_as(text_rows(chat, "how", "good", "bad"))


# The policy's and the reference's probability of good after film, by what stands before film: one
# start token, nothing, two of them. Both expect the end alike.
ENDS = {"film good <eos>": 1 / 2}
STARTS_POLICY = ENDS | {
    "start film good": 1 / 2, "<pad> film good": 1 / 4, "start start film good": 1 / 8,
}  # fmt: skip
STARTS_REFERENCE = ENDS | {
    "start film good": 1 / 4, "<pad> film good": 1 / 4, "start start film good": 1 / 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("mistakes", "row", "ratio"),
    [
        ([], "start film good <eos>", 1),
        (["missing_bos"], "film good <eos>", 0),
        (["doubled_bos"], "start start film good <eos>", -1),
    ],
)
def test_start_tokens(mistakes: list[str], row: str, ratio: int) -> None:
    rows = text_rows(STARTED, "film", "good", "bad", mistakes)
    wrong = score_rows(Table(STARTS_POLICY), Table(STARTS_REFERENCE), rows, beta=1.0)
    assert written(wrong)[0] == row
    assert ratios(wrong)[0] == ratio


def test_a_tokenizer_without_a_start_has_none_to_lose() -> None:
    assert score("missing_bos").rows.same_as(score().rows)
    # and its end token stands in front when one is added
    assert written(score("doubled_bos"))[0] == "<eos> how film good <eos> <pad>"


def test_the_start_of_a_template_is_found_by_its_name() -> None:
    names = {"bos_token": "start"}
    template = "{{ bos_token }} {{ messages[0].content }}"
    chat = Tokenizer(PLAIN.backend, PLAIN.eos_id, PLAIN.pad_id, (), template, special_names=names)
    rows = [
        text_rows(chat, "film", "good", "bad", mistakes).tokens[0]
        for mistakes in (["missing_bos"], [], ["doubled_bos"])
    ]
    assert [" ".join(PLAIN.tokens(ids.tolist())) for ids in rows] == [
        "film good <eos>", "start film good <eos>", "start start film good <eos>",
    ]  # fmt: skip


def test_mistakes_combine_in_one_order() -> None:
    both = {"mask_off_by_one", "prompt_scored"}
    # The mask of the prompt and the completion, one position late: film is lost, <pad> is gained.
    wrong = score(*both)
    assert scored(wrong) == ["film good <eos> <pad>", "film the bad <eos>"]
    assert wrong.rows.same_as(score(*sorted(both, reverse=True)).rows)
    assert score("mask_by_pad_id", "padding_scored").rows.same_as(score("mask_by_pad_id").rows)


def test_every_mistake_says_what_it_is() -> None:
    for name, entry in MISTAKES.items():
        assert name == entry.name
        assert entry.summary.endswith(".")
        assert entry.watch.endswith(".")
        assert entry.step in ("tokens", "mask", "sum")
    assert len({entry.label for entry in MISTAKES.values()}) == len(MISTAKES)


def test_what_can_not_be_scored_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="mistake 'typo' is unknown; accepted: tokenised_to"):
        text_rows(PLAIN, *TEXTS, ["typo"])
    with pytest.raises(WorkbenchError, match="the prompt has no tokens"):
        text_rows(PLAIN, "", "good", "bad")
    with pytest.raises(WorkbenchError, match="the rejected completion has no tokens"):
        text_rows(PLAIN, "how", "good", "", ["missing_eos"])


def test_score_pair_is_the_same_in_one_call() -> None:
    models = Table(POLICY), Table(REFERENCE)
    once = score_pair(*models, PLAIN, *TEXTS, ["mask_off_by_one"], beta=1.0)
    assert once.loss == score("mask_off_by_one").loss
