"""Every exercise takes its own target, and answers that are written in other ways."""

import math
import re

import numpy as np
import pytest
import torch

from workbench.exercises import EXERCISES, check


def logsumexp(values):
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values))


def rows_of(policy, *others):
    """Rows of responses as lists, of tensors of any number of batch dimensions."""
    count = policy.shape[-1]
    return zip(*(part.reshape(-1, count).tolist() for part in (policy, *others)), strict=True)


def objective_in_loops(policy, reference, rewards, beta):
    totals = []
    for pi, ref, reward in rows_of(policy, reference, rewards):
        terms = zip(pi, ref, reward, strict=True)
        totals.append(sum(p * (r - beta * math.log(p / q)) for p, q, r in terms))
    return np.array(totals).reshape(policy.shape[:-1])


def optimal_policy_in_log_space(reference, rewards, beta):
    return torch.softmax(reference.log() + rewards / beta, dim=-1)


def optimal_policy_in_place(reference, rewards, beta):
    """Writes over its inputs, which are copies; the largest exponent is 0."""
    reference *= rewards.div_(beta).sub_(rewards.amax(-1, keepdim=True)).exp_()
    return reference.div_(reference.sum(-1, keepdim=True))


def log_partition_in_loops(reference, rewards, beta):
    totals = [
        logsumexp([math.log(p) + r / beta for p, r in zip(ref, reward, strict=True)])
        for ref, reward in rows_of(reference, rewards)
    ]
    return torch.tensor(totals).reshape(reference.shape[:-1])  # float32


def log_partition_above_the_best(reference, rewards, beta):
    best = rewards.amax(-1, keepdim=True)
    return best[..., 0] / beta + (reference * ((rewards - best) / beta).exp()).sum(-1).log()


def reward_in_one_factor(policy, reference, log_partition, beta):
    return beta * ((policy / reference).log() + log_partition.unsqueeze(-1))


def dpo_loss_in_loops(*inputs):
    *columns, beta = inputs
    pairs = list(zip(*(column.tolist() for column in columns), strict=True))
    return sum(
        math.log1p(math.exp(-beta * ((pc - rc) - (pr - rr)))) for pc, pr, rc, rr in pairs
    ) / len(pairs)


def mask_as_list(prompt_length, completion_length, width):
    padding = width - prompt_length - completion_length
    return [False] * prompt_length + [True] * completion_length + [False] * padding


def mask_by_slices(prompt_length, completion_length, width):
    mask = torch.zeros(width, dtype=torch.bool)
    mask[prompt_length : prompt_length + completion_length] = True
    return mask


def sequence_logp_in_loops(logits, tokens, mask):
    total = 0.0
    for index in range(1, len(tokens)):
        if mask[index]:
            before = logits[index - 1].tolist()
            total += before[tokens[index]] - logsumexp(before)
    return total


def sequence_logp_by_logsumexp(logits, tokens, mask):
    every = logits.gather(-1, tokens.roll(-1)[:, None])[:, 0] - logits.logsumexp(-1)
    return every[:-1][mask[1:]].sum()


def sequence_logp_by_cross_entropy(logits, tokens, mask):
    losses = torch.nn.functional.cross_entropy(logits[:-1], tokens[1:], reduction="none")
    return -(losses * mask[1:]).sum()


def perplexity_in_loops(token_logps, mask):
    scored = [
        logp
        for logps, kept in zip(token_logps.tolist(), mask.tolist(), strict=True)
        for logp, keep in zip(logps, kept, strict=True)
        if keep
    ]
    return math.exp(-sum(scored) / len(scored))


def kto_loss_in_loops(policy, reference, desirable, mismatched, beta):
    z = max(0.0, sum(mismatched.tolist()) / len(mismatched))
    total = 0.0
    columns = (column.tolist() for column in (policy, reference, desirable))
    for ours, theirs, good in zip(*columns, strict=True):
        gain = beta * (ours - theirs - z)
        total += 1 / (1 + math.exp(gain if good else -gain))
    return total / len(policy)


def kto_loss_by_signs(policy, reference, desirable, mismatched, beta):
    signs = 2 * desirable.double() - 1
    z = torch.relu(mismatched.mean())
    return (1 - torch.sigmoid(signs * beta * (policy - reference - z))).mean()


def kto_rows_in_a_loop(pairs):
    rows = []
    while pairs:  # empties its input, which is a copy
        prompt, chosen, rejected = pairs.pop()
        rows += [[prompt, rejected, 0], [prompt, chosen, 1]]
    return rows


def gae_in_loops(rewards, values, discount, gae_lambda):
    found = []
    for start in range(len(rewards)):  # the sum of the paper, written out
        total = 0.0
        for later in range(start, len(rewards)):
            after = float(values[later + 1]) if later + 1 < len(values) else 0.0
            error = float(rewards[later]) + discount * after - float(values[later])
            total += (discount * gae_lambda) ** (later - start) * error
        found.append(total)
    return found


def gae_backwards(rewards, values, discount, gae_lambda):
    advantages = torch.zeros_like(rewards)
    running = 0.0
    following = torch.cat([values[1:], values.new_zeros(1)])
    for t in range(len(rewards) - 1, -1, -1):
        running = rewards[t] + discount * (following[t] + gae_lambda * running) - values[t]
        advantages[t] = running
    return advantages


def ppo_loss_in_loops(logps, old, advantages, clip):
    total = 0.0
    for new, before, a in zip(logps.tolist(), old.tolist(), advantages.tolist(), strict=True):
        ratio = math.exp(new - before)
        total -= min(ratio * a, max(1 - clip, min(1 + clip, ratio)) * a)
    return total / len(logps)


def breaks_principle_word_by_word(texts, words):
    letters = str.maketrans(dict.fromkeys(".,!?", " "))
    found = []
    for text in texts:
        spoken = text.lower().translate(letters).split()
        found.append(any(word.lower() in spoken for word in words))
    return np.array(found)


RIGHT = {
    "gae": [gae_in_loops, gae_backwards],
    "ppo_loss": [
        ppo_loss_in_loops,
        lambda n, o, a, c: torch.max(
            -a * (n - o).exp(), -a * (n - o).exp().clip(1 - c, 1 + c)
        ).mean(),
    ],
    "breaks_principle": [
        breaks_principle_word_by_word,
        lambda x, w: [bool({*map(str.lower, w)} & {*re.findall(r"\w+", t.lower())}) for t in x],
    ],
    "objective": [
        objective_in_loops,
        lambda p, q, r, b: (p * r).sum(-1) - b * (p * (p / q).log()).sum(-1),
        lambda p, q, r, b: np.sum(p.numpy() * (r.numpy() - b * np.log(p.numpy() / q.numpy())), -1),
    ],
    "optimal_policy": [
        optimal_policy_in_log_space,
        optimal_policy_in_place,
        lambda q, r, b: torch.exp(q.log() + r / b - (q.log() + r / b).logsumexp(-1)[..., None]),
    ],
    "log_partition": [
        log_partition_in_loops,
        log_partition_above_the_best,
        lambda q, r, b: np.logaddexp.reduce(np.log(q.numpy()) + r.numpy() / b, axis=-1),
    ],
    "reward_from_policy": [
        reward_in_one_factor,
        lambda p, q, z, b: b * (p.log() - q.log()) + b * z[..., None],
    ],
    "preference_probability": [
        lambda c, r: torch.stack([c, r]).softmax(0)[0],
        lambda c, r: 1 / (1 + np.exp((r - c).numpy())),
        lambda c, r: [1 / (1 + math.exp(b - a)) for a, b in zip(c, r, strict=True)],
    ],
    "preference_from_policies": [
        lambda pc, pr, rc, rr, b: torch.sigmoid(b * (pc - rc) - b * (pr - rr)),
        lambda pc, pr, rc, rr, b: torch.stack([pc - rc, pr - rr]).mul(b).softmax(0)[0],
        lambda pc, pr, rc, rr, b: 1 / (1 + np.exp(-b * (pc - pr - rc + rr).numpy())),
    ],
    "dpo_loss": [
        dpo_loss_in_loops,
        lambda pc, pr, rc, rr, b: torch.nn.functional.softplus(b * ((pr - rr) - (pc - rc))).mean(),
        lambda pc, pr, rc, rr, b: np.mean(np.logaddexp(0, -b * (pc - pr - rc + rr).numpy())),
    ],
    "gradient_weight": [
        lambda m, b: b * torch.sigmoid(-b * m),
        lambda m, b: b * (1 - torch.sigmoid(b * m)),
        lambda m, b: [b / (1 + math.exp(b * value)) for value in m.tolist()],
    ],
    "completion_mask": [
        mask_as_list,
        mask_by_slices,
        lambda p, c, w: (np.arange(w) >= p) & (np.arange(w) < p + c),
    ],
    "sequence_logp": [
        sequence_logp_in_loops,
        sequence_logp_by_cross_entropy,
        sequence_logp_by_logsumexp,
        lambda x, t, m: x.float().log_softmax(-1)[range(len(t) - 1), t[1:]][m[1:]].sum(),
    ],
    "perplexity": [
        perplexity_in_loops,
        lambda logps, mask: torch.exp(-(logps * mask).sum() / mask.sum()),
        lambda logps, mask: np.exp(-np.mean(logps.numpy()[mask.numpy()])),
    ],
    "ipo_limit": [
        lambda b: 1 / (1 + math.exp(-1 / (2 * b))),
        lambda b: torch.tensor(0.5 / b).sigmoid(),  # float32
        lambda b: np.exp(0.5 / b) / (1 + np.exp(0.5 / b)),
    ],
    "sampled_kl": [
        lambda p, q: (p - q).mean(),
        lambda p, q: np.average(p.numpy() - q.numpy()),
        lambda p, q: sum(a - b for a, b in zip(p.tolist(), q.tolist(), strict=True)) / len(p),
    ],
    "kto_loss": [kto_loss_in_loops, kto_loss_by_signs],
    "kto_rows": [
        kto_rows_in_a_loop,
        lambda pairs: [(p, (r, c)[good], bool(good)) for p, c, r in pairs for good in (0, 1)],
        lambda pairs: [(p, c, True) for p, c, _ in pairs] + [(p, r, False) for p, _, r in pairs],
    ],
}  # fmt: skip
CASES = [(name, index) for name, answers in RIGHT.items() for index in range(len(answers))]


def test_every_exercise_has_right_answers_here():
    assert RIGHT.keys() == EXERCISES.keys()


@pytest.mark.parametrize("name", EXERCISES)
def test_target_is_right(name):
    def answer(*inputs):
        return EXERCISES[name].target(*inputs)

    answer.__name__ = name
    assert check(answer).state == "right"


@pytest.mark.parametrize(("name", "index"), CASES)
def test_other_way_to_write_it_is_right(name, index):
    answer = RIGHT[name][index]
    answer.__name__ = name
    assert check(answer).state == "right"


@pytest.mark.parametrize("name", EXERCISES)
def test_inputs_are_the_same_at_every_call_and_the_targets_are_finite(name):
    for first, second in zip(EXERCISES[name].cases(), EXERCISES[name].cases(), strict=True):
        assert len(first) == len(EXERCISES[name].parameters)
        for one, other in zip(first, second, strict=True):
            if isinstance(one, list):
                assert one == other
                continue
            assert one is not other or not isinstance(one, torch.Tensor)
            assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
        target = EXERCISES[name].target(*first)
        assert target if isinstance(target, list) else target.double().isfinite().all()


@pytest.mark.parametrize(
    ("name", "inputs", "value"),
    [
        # E[r] = 0.75 and KL = 0.75 log 1.5 + 0.25 log 0.5 = 0.1308
        ("objective", ([0.75, 0.25], [0.5, 0.5], [1.0, 0.0], 0.5), 0.75 - 0.5 * 0.130812),
        # weights 0.25 * 4 and 0.75 * 1
        ("optimal_policy", ([0.25, 0.75], [math.log(2), 0.0], 0.5), [4 / 7, 3 / 7]),
        ("log_partition", ([0.25, 0.75], [math.log(2), 0.0], 0.5), math.log(1.75)),
        ("preference_probability", ([math.log(3)], [0.0]), [0.75]),
        # margin (-10 + 12) - (-16 + 15) = 3
        ("preference_from_policies", ([-10.0], [-16.0], [-12.0], [-15.0], 1.0), [0.952574]),
        ("dpo_loss", ([-10.0], [-16.0], [-12.0], [-15.0], 0.1), 0.554355),
        ("gradient_weight", ([0.0], 0.2), [0.1]),
        ("perplexity", ([[-9.0, -1.0, -2.0], [-9.0, -3.0, -9.0]],), math.exp(2)),
        ("ipo_limit", (0.5,), 0.731059),
        ("sampled_kl", ([-1.0, -4.0], [-2.0, -3.5]), 0.25),
        # log-ratios 2 and 3, z = max(0, (3 - 1) / 2) = 1:
        # (1 - sigma(2 - 1) + 1 - sigma(1 - 3)) / 2 = (0.268941 + 0.880797) / 2
        ("kto_loss", ([-8.0, -9.0], [-10.0, -12.0], [True, False], [3.0, -1.0], 1.0), 0.574869),
    ],
)  # fmt: skip
def test_targets_by_hand(name, inputs, value):
    inputs = [
        torch.tensor(part, dtype=None if part[0] is True else torch.float64)
        if isinstance(part, list)
        else part
        for part in inputs
    ]
    if name == "perplexity":  # the first token and the padding are not scored: 1, 2 and 3 are
        inputs.append(torch.tensor([[False, True, True], [False, True, False]]))
    found = EXERCISES[name].target(*inputs)
    torch.testing.assert_close(found, torch.tensor(value, dtype=torch.float64), rtol=1e-5, atol=0)


def test_a_pair_becomes_two_rows():
    rows = EXERCISES["kto_rows"].target([("p", "good", "bad")])
    assert rows == [("p", "good", True), ("p", "bad", False)]


def test_whole_words_break_a_principle_in_any_case():
    found = EXERCISES["breaks_principle"].target(["So Dull.", "a dullard", ""], ["dull"])
    assert found.tolist() == [True, False, False]


def test_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    for entry in EXERCISES.values():
        list(entry.cases())
    assert torch.equal(torch.rand(1), expected)
