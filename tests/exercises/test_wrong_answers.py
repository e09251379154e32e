"""Every exercise refuses the mistakes that are made, one by one."""

import math
import re
from dataclasses import replace

import pytest
import torch

from workbench.exercises import EXERCISES, check, checking


def kl(p, q):
    return (p * (p / q).log()).sum(-1)


def weights(reference, rewards, beta):
    return reference * (rewards / beta).exp()


def shares(values, axis=-1):
    return values / values.sum(axis, keepdim=True)


def margin(pc, pr, rc, rr):
    return (pc - rc) - (pr - rr)


def scores(logits, tokens):
    """Log-probabilities of tokens 1, 2, ..., (pos-1,)."""
    return logits.log_softmax(-1)[:-1].gather(-1, tokens[1:, None])[:, 0]


def positions(width):
    return torch.arange(width)


def kto(policy, reference, desirable, z, beta):
    """(item,) values, for mistakes in a single part."""
    return (torch.where(desirable, -1.0, 1.0) * beta * (policy - reference - z)).sigmoid()


def relu_mean(values):
    return values.mean().clamp(min=0)


def backwards(rewards, values, discount, weight, after=0.0):
    found, running, following = [], 0.0, after
    for reward, value in zip(reversed(rewards.tolist()), reversed(values.tolist()), strict=True):
        running = reward + discount * following - value + weight * running
        found.append(running)
        following = value
    return torch.tensor(found[::-1], dtype=torch.float64)


def clip_loss(new, old, advantages, clip, pick=torch.minimum):
    ratio = (new - old).exp()
    return -pick(ratio * advantages, ratio.clip(1 - clip, 1 + clip) * advantages).mean()


def words(text):
    return re.findall(r"\w+", text)


def broken(texts, forbidden):
    """The right answer, for mistakes in a single part."""
    listed = {word.lower() for word in forbidden}
    return [bool(listed & {*words(text.lower())}) for text in texts]


WRONG = {
    "objective": {
        "the penalty added": lambda p, q, r, b: (p * r).sum(-1) + b * kl(p, q),
        "the KL the other way round": lambda p, q, r, b: (p * r).sum(-1) - b * kl(q, p),
        "beta missing": lambda p, q, r, b: (p * r).sum(-1) - kl(p, q),
        "beta inverted": lambda p, q, r, b: (p * r).sum(-1) - kl(p, q) / b,
        "beta on the reward, too": lambda p, q, r, b: b * ((p * r).sum(-1) - kl(p, q)),
        "reference missing": lambda p, q, r, b: (p * r).sum(-1) - b * (p * p.log()).sum(-1),
        "the KL missing": lambda p, q, r, b: (p * r).sum(-1),
        "mean for sum": lambda p, q, r, b: (p * r - b * p * (p / q).log()).mean(-1),
        "summed over the batch": lambda p, q, r, b: (p * r).sum() - b * kl(p, q).sum(),
        "expected under the reference": lambda p, q, r, b: (q * r).sum(-1) - b * kl(p, q),
        "logarithms to base 2": lambda p, q, r, b: (p * r - b * p * (p / q).log2()).sum(-1),
        "a little added within the logarithm": lambda p, q, r, b: (
            p * (r - b * (p.log() - (q + 1e-8).log()))
        ).sum(-1),
    },
    "optimal_policy": {
        "reference missing": lambda q, r, b: (r / b).softmax(-1),
        "beta inverted": lambda q, r, b: shares(q * (r * b).exp()),
        "beta missing": lambda q, r, b: shares(q * r.exp()),
        "sign": lambda q, r, b: shares(q * (-r / b).exp()),
        "not normalised": weights,
        "normalised over the prompts": lambda q, r, b: shares(weights(q, r, b), 0),
        "normalised over everything": lambda q, r, b: weights(q, r, b) / weights(q, r, b).sum(),
        "reference under the exponential": lambda q, r, b: (q + r / b).softmax(-1),
        "the logarithm": lambda q, r, b: shares(weights(q, r, b)).log(),
        "the best response alone": lambda q, r, b: (r == r.amax(-1, keepdim=True)).double(),
    },
    "log_partition": {
        "Z without the logarithm": lambda q, r, b: weights(q, r, b).sum(-1),
        "reference missing": lambda q, r, b: (r / b).logsumexp(-1),
        "beta inverted": lambda q, r, b: (q.log() + r * b).logsumexp(-1),
        "sign": lambda q, r, b: -(q.log() + r / b).logsumexp(-1),
        "mean for sum": lambda q, r, b: weights(q, r, b).mean(-1).log(),
        "the logarithm within the sum": lambda q, r, b: weights(q, r, b).log().sum(-1),
        "summed over the prompts": lambda q, r, b: weights(q, r, b).sum(0).log(),
        "the axis kept": lambda q, r, b: weights(q, r, b).sum(-1, keepdim=True).log(),
    },
    "reward_from_policy": {
        "log Z left out": lambda p, q, z, b: b * (p / q).log(),
        "log Z taken off": lambda p, q, z, b: b * ((p / q).log() - z[..., None]),
        "log Z without beta": lambda p, q, z, b: b * (p / q).log() + z[..., None],
        "beta missing": lambda p, q, z, b: (p / q).log() + z[..., None],
        "beta inverted": lambda p, q, z, b: ((p / q).log() + z[..., None]) / b,
        "reference missing": lambda p, q, z, b: b * (p.log() + z[..., None]),
        "the ratio upside down": lambda p, q, z, b: b * ((q / p).log() + z[..., None]),
        "log Z along the wrong axis": lambda p, q, z, b: b * ((p / q).log() + z),
        "Z taken for log Z": lambda p, q, z, b: b * ((p / q).log() + z[..., None].log()),
    },
    "preference_probability": {
        "sign": lambda c, r: (r - c).sigmoid(),
        "the logarithm": lambda c, r: (c - r).sigmoid().log(),
        "rewards for their exponentials": lambda c, r: c / (c + r),
        "the difference alone": lambda c, r: c - r,
        "yes or no": lambda c, r: (c > r).double(),
        "the mean": lambda c, r: (c - r).sigmoid().mean(),
    },
    "preference_from_policies": {
        "reference missing": lambda pc, pr, rc, rr, b: (b * (pc - pr)).sigmoid(),
        "beta missing": lambda *x: margin(*x[:4]).sigmoid(),
        "beta inverted": lambda *x: (margin(*x[:4]) / x[4]).sigmoid(),
        "sign": lambda *x: (-x[4] * margin(*x[:4])).sigmoid(),
        "beta outside": lambda *x: x[4] * margin(*x[:4]).sigmoid(),
        "reference with the wrong sign": lambda pc, pr, rc, rr, b: (
            b * ((pc + rc) - (pr + rr))
        ).sigmoid(),
        "policy and reference exchanged": lambda pc, pr, rc, rr, b: (
            b * margin(rc, rr, pc, pr)
        ).sigmoid(),
        "the logarithm": lambda *x: (x[4] * margin(*x[:4])).sigmoid().log(),
        "log-probabilities divided": lambda pc, pr, rc, rr, b: (b * (pc / rc - pr / rr)).sigmoid(),
    },
    "dpo_loss": {
        "reference missing": lambda pc, pr, rc, rr, b: -(b * (pc - pr)).sigmoid().log().mean(),
        "sum for mean": lambda *x: -(x[4] * margin(*x[:4])).sigmoid().log().sum(),
        "not reduced": lambda *x: -(x[4] * margin(*x[:4])).sigmoid().log(),
        "sign of the loss": lambda *x: (x[4] * margin(*x[:4])).sigmoid().log().mean(),
        "sign of the margin": lambda *x: -(-x[4] * margin(*x[:4])).sigmoid().log().mean(),
        "beta missing": lambda *x: -margin(*x[:4]).sigmoid().log().mean(),
        "beta inverted": lambda *x: -(margin(*x[:4]) / x[4]).sigmoid().log().mean(),
        "beta on the loss": lambda *x: -x[4] * margin(*x[:4]).sigmoid().log().mean(),
        "the logarithm missing": lambda *x: -(x[4] * margin(*x[:4])).sigmoid().mean(),
        "the mean before the logistic": lambda *x: -(x[4] * margin(*x[:4]).mean()).sigmoid().log(),
        "chosen and rejected one by one": lambda pc, pr, rc, rr, b: (
            -((b * (pc - rc)).sigmoid().log() + (b * (rr - pr)).sigmoid().log()).mean()
        ),
        "IPO's loss": lambda *x: (margin(*x[:4]) - 1 / (2 * x[4])).square().mean(),
    },
    "gradient_weight": {
        "sign": lambda m, b: b * (b * m).sigmoid(),
        "beta in front missing": lambda m, b: (-b * m).sigmoid(),
        "beta within missing": lambda m, b: b * (-m).sigmoid(),
        "beta inverted": lambda m, b: (-m / b).sigmoid() / b,
        "slope of the logistic": lambda m, b: b * (b * m).sigmoid() * (-b * m).sigmoid(),
        "with the loss's sign": lambda m, b: -b * (-b * m).sigmoid(),
        "the loss": lambda m, b: -(b * m).sigmoid().log(),
    },
    "completion_mask": {
        "the prompt scored": lambda p, c, w: positions(w) < p + c,
        "padding scored": lambda p, c, w: positions(w) >= p,
        "one too early": lambda p, c, w: (positions(w) >= p - 1) & (positions(w) < p + c - 1),
        "one too late": lambda p, c, w: (positions(w) > p) & (positions(w) <= p + c),
        "one too many": lambda p, c, w: (positions(w) >= p) & (positions(w) <= p + c),
        "the first one left out": lambda p, c, w: (positions(w) > p) & (positions(w) < p + c),
        "completion length taken for the end": lambda p, c, w: (
            (positions(w) >= p) & (positions(w) < c)
        ),
        "the other way round": lambda p, c, w: (positions(w) < p) | (positions(w) >= p + c),
        "already shifted": lambda p, c, w: (positions(w) >= p)[1:] & (positions(w) < p + c)[1:],
        "numbers": lambda p, c, w: ((positions(w) >= p) & (positions(w) < p + c)).long(),
    },
    "sequence_logp": {
        "no shift": lambda x, t, m: x.log_softmax(-1).gather(-1, t[:, None])[:, 0][m].sum(),
        "shift the other way": lambda x, t, m: (
            x.log_softmax(-1)[1:].gather(-1, t[:-1, None])[:, 0][m[:-1]].sum()
        ),
        "the mask not shifted": lambda x, t, m: scores(x, t)[m[:-1]].sum(),
        "the prompt scored": lambda x, t, m: scores(x, t).sum(),
        "padding scored": lambda x, t, m: scores(x, t)[int(m.nonzero()[0]) - 1 :].sum(),
        "the last token left out": lambda x, t, m: scores(x, t)[m[1:]][:-1].sum(),
        "all from the first scored to the last": lambda x, t, m: scores(x, t)[
            int(m.nonzero()[0]) - 1 : int(m.nonzero()[-1])
        ].sum(),
        "mean for sum": lambda x, t, m: scores(x, t)[m[1:]].mean(),
        "logits for log-probabilities": lambda x, t, m: (
            x[:-1].gather(-1, t[1:, None])[:, 0][m[1:]].sum()
        ),
        "probabilities": lambda x, t, m: scores(x, t)[m[1:]].exp().sum(),
        "sign": lambda x, t, m: -scores(x, t)[m[1:]].sum(),
        "softmax over the positions": lambda x, t, m: (
            x.log_softmax(0)[:-1].gather(-1, t[1:, None])[:, 0][m[1:]].sum()
        ),
        "not summed": lambda x, t, m: scores(x, t)[m[1:]],
    },
    "perplexity": {
        "sign": lambda x, m: x[m].mean().exp(),
        "the exponential missing": lambda x, m: -x[m].mean(),
        "sum for mean": lambda x, m: (-x[m].sum()).exp(),
        "prompt and padding scored": lambda x, m: (-x.mean()).exp(),
        "divided by all positions": lambda x, m: (-(x * m).mean()).exp(),
        "the mean of the rows' means": lambda x, m: (-((x * m).sum(-1) / m.sum(-1)).mean()).exp(),
        "the mean of the rows' perplexities": lambda x, m: (
            (-(x * m).sum(-1) / m.sum(-1)).exp().mean()
        ),
        "the mean of inverse probabilities": lambda x, m: (-x[m]).exp().mean(),
        "base 2": lambda x, m: 2 ** -x[m].mean(),
        "shifted once more": lambda x, m: (-x[:, :-1][m[:, 1:]].mean()).exp(),
    },
    "ipo_limit": {
        "DPO's answer": lambda b: 1.0,
        "the factor 2 missing": lambda b: 1 / (1 + math.exp(-1 / b)),
        "beta inverted": lambda b: 1 / (1 + math.exp(-2 * b)),
        "half of beta": lambda b: 1 / (1 + math.exp(-b / 2)),
        "the margin itself": lambda b: 1 / (2 * b),
        "sign": lambda b: 1 / (1 + math.exp(1 / (2 * b))),
        "not normalised": lambda b: math.exp(1 / (2 * b)),
        "its logarithm": lambda b: -math.log1p(math.exp(-1 / (2 * b))),
        "half the margin on each side": lambda b: 1 / (1 + math.exp(-1 / (4 * b))),
    },
    "sampled_kl": {
        "the other way round": lambda p, q: (q - p).mean(),
        "sum for mean": lambda p, q: (p - q).sum(),
        "weighted by the policy once more": lambda p, q: (p.exp() * (p - q)).sum(),
        "absolute values": lambda p, q: (p - q).abs().mean(),
        "negative ones left out": lambda p, q: (p - q).clamp(min=0).mean(),
        "ratio of log-probabilities": lambda p, q: (p / q).log().mean(),
        "logarithm of the mean ratio": lambda p, q: (p - q).exp().mean().log(),
        "divided by one less": lambda p, q: (p - q).sum() / max(len(p) - 1, 1),
        "not reduced": lambda p, q: p - q,
    },
    "gae": {
        "discount missing in the error": lambda r, v, d, g: backwards(r, v, 1.0, d * g),
        "lambda missing": lambda r, v, d, g: backwards(r, v, d, d),
        "discount missing in the sum": lambda r, v, d, g: backwards(r, v, d, g),
        "own value left out": lambda r, v, d, g: backwards(r + v, v, d, d * g),
        "forwards": lambda r, v, d, g: backwards(r.flip(0), v.flip(0), d, d * g).flip(0),
        "a value after the end": lambda r, v, d, g: backwards(r, v, d, d * g, after=v[-1]),
        "the return, not the advantage": lambda r, v, d, g: backwards(r, v, d, d * g) + v,
        "one-step errors": lambda r, v, d, g: backwards(r, v, d, 0.0),
        "the rest of the rewards": lambda r, v, d, g: r.flip(0).cumsum(0).flip(0) - v,
    },
    "ppo_loss": {
        "no clip": lambda n, o, a, c: -((n - o).exp() * a).mean(),
        "clipped alone": lambda n, o, a, c: -((n - o).exp().clip(1 - c, 1 + c) * a).mean(),
        "the larger product": lambda n, o, a, c: clip_loss(n, o, a, c, torch.maximum),
        "the product clipped": lambda n, o, a, c: (
            -torch.minimum((n - o).exp() * a, ((n - o).exp() * a).clip(1 - c, 1 + c)).mean()
        ),
        "the log-ratio": lambda n, o, a, c: (
            -torch.minimum((n - o) * a, (n - o).clip(1 - c, 1 + c) * a).mean()
        ),
        "old over new": lambda n, o, a, c: clip_loss(o, n, a, c),
        "sign": lambda n, o, a, c: -clip_loss(n, o, a, c),
        "sum": lambda n, o, a, c: clip_loss(n, o, a, c) * len(n),
        "not reduced": lambda n, o, a, c: (
            -torch.minimum((n - o).exp() * a, (n - o).exp().clip(1 - c, 1 + c) * a)
        ),
        "clipped at one side": lambda n, o, a, c: (
            -torch.minimum((n - o).exp() * a, (n - o).exp().clip(max=1 + c) * a).mean()
        ),
        "1 / (1 + clip) below": lambda n, o, a, c: (
            -torch.minimum((n - o).exp() * a, (n - o).exp().clip(1 / (1 + c), 1 + c) * a).mean()
        ),
    },
    "kto_loss": {
        "z left out": lambda p, q, d, m, b: kto(p, q, d, 0.0, b).mean(),
        "z may be negative": lambda p, q, d, m, b: kto(p, q, d, m.mean(), b).mean(),
        "each mismatched one for itself": lambda p, q, d, m, b: kto(p, q, d, m.relu(), b).mean(),
        "negative ones left out of z": lambda p, q, d, m, b: kto(
            p, q, d, m.relu().mean(), b
        ).mean(),
        "z of the rows themselves": lambda p, q, d, m, b: kto(p, q, d, relu_mean(p - q), b).mean(),
        "z added": lambda p, q, d, m, b: kto(p, q, d, -relu_mean(m), b).mean(),
        "sum for mean in z": lambda p, q, d, m, b: kto(p, q, d, m.sum().clamp(min=0), b).mean(),
        "labels exchanged": lambda p, q, d, m, b: kto(p, q, ~d, relu_mean(m), b).mean(),
        "labels ignored": lambda p, q, d, m, b: kto(p, q, d | True, relu_mean(m), b).mean(),
        "undesirable ones left out": lambda p, q, d, m, b: kto(p, q, d, relu_mean(m), b)[d].mean(),
        "the value, not the loss": lambda p, q, d, m, b: (1 - kto(p, q, d, relu_mean(m), b)).mean(),
        "a logarithm as in DPO": lambda p, q, d, m, b: (
            -(1 - kto(p, q, d, relu_mean(m), b)).log().mean()
        ),
        "reference missing": lambda p, q, d, m, b: kto(p, 0.0, d, relu_mean(m), b).mean(),
        "policy and reference exchanged": lambda p, q, d, m, b: kto(
            q, p, d, relu_mean(m), b
        ).mean(),
        "beta missing": lambda p, q, d, m, b: kto(p, q, d, relu_mean(m), 1.0).mean(),
        "beta inverted": lambda p, q, d, m, b: kto(p, q, d, relu_mean(m), 1 / b).mean(),
        "sum for mean": lambda p, q, d, m, b: kto(p, q, d, relu_mean(m), b).sum(),
        "not reduced": lambda p, q, d, m, b: kto(p, q, d, relu_mean(m), b),
    },
    "kto_rows": {
        "the chosen alone": lambda x: [(p, c, True) for p, c, _ in x],
        "labels exchanged": lambda x: [
            row for p, c, r in x for row in ((p, c, False), (p, r, True))
        ],
        "all desirable": lambda x: [row for p, c, r in x for row in ((p, c, True), (p, r, True))],
        "the prompt left out": lambda x: [row for _, c, r in x for row in ((c, True), (r, False))],
        "no label": lambda x: [row for p, c, r in x for row in ((p, c), (p, r))],
        "the label first": lambda x: [
            row for p, c, r in x for row in ((True, p, c), (False, p, r))
        ],
        "no row twice": lambda x: {row for p, c, r in x for row in ((p, c, True), (p, r, False))},
        "the pairs as they are": lambda x: x,
        "pairs of rows": lambda x: [((p, c, True), (p, r, False)) for p, c, r in x],
        "the number of rows": lambda x: 2 * len(x),
    },
    "breaks_principle": {
        "parts of words": lambda x, w: [any(word in text for word in w) for text in x],
        "punctuation left on": lambda x, w: [bool({*w} & {*text.split()}) for text in x],
        "capitals told apart": lambda x, w: [bool({*w} & {*words(text)}) for text in x],
        "capitals told apart in the list": lambda x, w: [
            bool({*w} & {*words(text.lower())}) for text in x
        ],
        "kept for broken": lambda x, w: [not found for found in broken(x, w)],
        "all words wanted": lambda x, w: [
            {word.lower() for word in w} <= {*words(text.lower())} for text in x
        ],
        "the first word alone": lambda x, w: broken(x, w[:1]),
        "numbers of words": lambda x, w: [sum(broken([text], w)) for text in x],
        "one for all": lambda x, w: any(broken(x, w)),
    },
}
CASES = [(name, mistake) for name, mistakes in WRONG.items() for mistake in mistakes]


def test_every_exercise_has_at_least_five_mistakes_here():
    assert WRONG.keys() == EXERCISES.keys()
    assert all(len(mistakes) >= 5 for mistakes in WRONG.values())


@pytest.mark.parametrize(("name", "mistake"), CASES)
def test_mistake_is_refused(name, mistake):
    answer = WRONG[name][mistake]
    answer.__name__ = name
    verdict = check(answer)
    assert verdict.state == "not right"
    # For its value, not for a slip in this file; that one sum does not even fit most shapes.
    assert "stopped" not in verdict.reason or mistake == "log Z along the wrong axis"
    shown = [title for title, _ in verdict.rows]
    assert shown[: len(EXERCISES[name].parameters)] == [*EXERCISES[name].parameters]


def half_exp(values):
    """The logistic function as it is often written."""
    return values.exp() / (1 + values.exp())


# Right on paper and near 0; in float32 they overflow.
FRAGILE = {
    "optimal_policy": {
        "weights, then normalised": lambda q, r, b: shares(weights(q, r, b)),
    },
    "log_partition": {
        "the logarithm of the sum": lambda q, r, b: weights(q, r, b).sum(-1).log(),
        "exponentials, though of logarithms": lambda q, r, b: (q.log() + r / b).exp().sum(-1).log(),
    },
    "reward_from_policy": {
        "Z under the logarithm": lambda p, q, z, b: b * (p / q * z[..., None].exp()).log(),
    },
    "preference_probability": {
        "exponentials of rewards": lambda c, r: c.exp() / (c.exp() + r.exp()),
        "exponentials of the difference": lambda c, r: half_exp(c - r),
    },
    "preference_from_policies": {
        "exponentials of the margin": lambda *x: half_exp(x[4] * margin(*x[:4])),
    },
    "dpo_loss": {
        "the logarithm of the logistic function": lambda *x: (
            -(x[4] * margin(*x[:4])).sigmoid().log().mean()
        ),
        "log of 1 + exp": lambda *x: (1 + (-x[4] * margin(*x[:4])).exp()).log().mean(),
        "log1p of exp": lambda *x: (-x[4] * margin(*x[:4])).exp().log1p().mean(),
    },
    "gradient_weight": {
        "exponentials of the margin": lambda m, b: b * half_exp(-b * m),
    },
    "sequence_logp": {
        "the logarithm of a softmax": lambda x, t, m: (
            x.softmax(-1).log()[:-1].gather(-1, t[1:, None])[:, 0][m[1:]].sum()
        ),
        "the logarithm of a product": lambda x, t, m: scores(x, t)[m[1:]].exp().prod().log(),
    },
    "perplexity": {
        "the root of a product": lambda x, m: x[m].exp().prod() ** (-1 / m.sum()),
    },
    "sampled_kl": {
        "the ratio of probabilities": lambda p, q: (p.exp() / q.exp()).log().mean(),
    },
    "kto_loss": {
        "exponentials of the gain": lambda p, q, d, m, b: half_exp(
            torch.where(d, -1.0, 1.0) * b * (p - q - relu_mean(m))
        ).mean(),
    },
    "ppo_loss": {
        "the ratio of probabilities": lambda n, o, a, c: (
            -torch.minimum(n.exp() / o.exp() * a, (n.exp() / o.exp()).clip(1 - c, 1 + c) * a).mean()
        ),
    },
}
FRAGILE_CASES = [(name, mistake) for name, mistakes in FRAGILE.items() for mistake in mistakes]


def test_every_exercise_that_is_tried_far_from_0_has_an_answer_that_overflows_there():
    assert FRAGILE.keys() == {name for name, entry in EXERCISES.items() if entry.far}


@pytest.mark.parametrize(("name", "mistake"), FRAGILE_CASES)
def test_answer_that_overflows_is_refused_and_the_reason_says_why(name, mistake):
    answer = FRAGILE[name][mistake]
    near = replace(EXERCISES[name], far=None)
    assert checking._verdict(near, answer).passed  # nothing else is wrong with it
    answer.__name__ = name
    verdict = check(answer)
    assert verdict.state == "not right"
    assert verdict.reason.startswith("The formula is right, but not in float32 and far from 0. ")
    assert verdict.reason.endswith(EXERCISES[name].far.reason)


UNIFORM = torch.full((2, 4), 0.25, dtype=torch.float64)
UNEVEN = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], dtype=torch.float64)
SCORES = torch.tensor([[0.3, -1.0, 2.0, 0.7], [1.0, 0.5, -0.2, 0.0]], dtype=torch.float64)
EVERYWHERE = torch.ones(2, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("name", "mistake", "inputs"),
    [
        ("objective", "the KL the other way round", (UNEVEN, UNEVEN, SCORES, 0.5)),
        ("objective", "beta inverted", (UNEVEN, UNIFORM, SCORES, 1.0)),
        ("optimal_policy", "reference missing", (UNIFORM, SCORES, 0.5)),
        ("optimal_policy", "beta inverted", (UNEVEN, SCORES, 1.0)),
        ("reward_from_policy", "log Z left out", (UNEVEN, UNIFORM, torch.zeros(2), 0.5)),
        ("preference_from_policies", "reference missing", (*SCORES, *UNIFORM, 0.5)),
        ("dpo_loss", "sum for mean", (*SCORES[:, :1], *UNEVEN[:, :1], 0.5)),
        ("perplexity", "the mean of the rows' means", (-UNEVEN, EVERYWHERE)),
        ("sampled_kl", "absolute values", (UNEVEN[0] + 1, UNEVEN[1])),
    ],
)
def test_mistake_that_symmetric_inputs_would_hide_is_refused(name, mistake, inputs):
    answer = WRONG[name][mistake]
    torch.testing.assert_close(answer(*inputs), EXERCISES[name].target(*inputs))
    answer.__name__ = name
    assert check(answer).state == "not right"
