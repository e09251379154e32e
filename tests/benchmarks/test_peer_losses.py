"""SimPO and KTO give the values and gradients of TRL's own code."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.core.batch import Completion, Pair, SequenceBatch
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.train.method import find_method
from workbench.train.reference import LiveReference

pytestmark = [
    pytest.mark.full,
    # TRL, and what it imports, warn of their own changes to come.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
VOCAB, PAD = 23, 0
CLOSE = 1e-6


@pytest.fixture
def trl(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("datasets", reason="TRL is in the extra `bench`")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("trl", reason="TRL is in the extra `bench`")


def decoder(seed: int) -> Transformer:
    shape = TransformerConfig(
        VOCAB, dim=16, layers=2, heads=2, kv_heads=1, hidden_dim=24, max_length=16
    )
    return Transformer(shape, seed=seed).double()


def draw(count: int, sides: int) -> list[tuple[tuple[int, ...], ...]]:
    """Prompts of 1 to 4 tokens, each with completions of 1 to 6."""
    generator = torch.Generator().manual_seed(1)

    def ids(most: int) -> tuple[int, ...]:
        size = int(torch.randint(1, most + 1, (), generator=generator))
        return tuple(torch.randint(1, VOCAB, (size,), generator=generator).tolist())

    return [(ids(4), *(ids(6) for _ in range(sides))) for _ in range(count)]


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))


def weight_gradients(loss: Tensor, policy: Transformer) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(policy.parameters())))


@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.0), (2.5, 0.3), (0.1, 5.0), (10.0, 0.0)])
def test_simpo(trl: Any, beta: float, gamma: float) -> None:
    from trl.experimental.cpo import CPOTrainer

    method, policy = find_method("preference"), decoder(4)
    batch = method.collate([Pair(*ids) for ids in draw(7, 2)], PAD, "stacked", range(7))
    logits = policy.logits(batch.tokens)
    labels = batch.tokens.masked_fill(~batch.completion_mask, -100)
    per_token = CPOTrainer.get_batch_logps(logits, labels, average_log_prob=True)
    trainer = SimpleNamespace(
        alpha=0.0, loss_type="simpo", beta=beta, simpo_gamma=gamma, label_smoothing=0.0,
        accelerator=SimpleNamespace(device="cpu"),
    )  # fmt: skip
    theirs, *rewards = CPOTrainer.cpo_loss(trainer, per_token[0::2], per_token[1::2])
    expected = weight_gradients(theirs.mean(), policy)

    settings = {"loss": "simpo", "beta": beta, "gamma": gamma}
    ours = method.losses(policy, batch, settings)
    found = weight_gradients(ours.values.mean(), policy)
    assert difference([ours.values.detach()], [theirs.detach()]) <= CLOSE
    assert difference(found, expected) <= CLOSE
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-4
    sides = [ours.metrics["rewards/chosen"], ours.metrics["rewards/rejected"]]
    assert difference(sides, rewards) <= CLOSE
    print(f"simpo, TRL {trl.__version__}: values differ by "
          f"{difference([ours.values.detach()], [theirs.detach()]):.1e}, "
          f"gradients by {difference(found, expected):.1e}")  # fmt: skip


def as_trl_calls_it(policy: Transformer) -> Callable[..., Any]:
    """A model whose fused head gives log-probabilities, as TRL's patched ones do."""

    def forward(input_ids: Tensor, labels: Tensor, **_: Any) -> Any:
        logps = policy.logits(input_ids)[:, :-1].log_softmax(-1)
        wanted = labels[:, 1:]
        picked = logps.gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
        zeros = torch.zeros_like(picked)
        kept = picked.masked_fill(wanted < 0, 0.0)
        return SimpleNamespace(log_probs=kept, entropy=zeros, mean_logits=zeros)

    return forward


def kto_inputs(batch: SequenceBatch, labels: Tensor) -> dict[str, Tensor]:
    """The batch as TRL's collator makes it: rows padded on the right and their masks."""
    _, other = batch.parts
    found: dict[str, Tensor] = {"label": labels}
    for prefix, part in (("", batch), ("KL_", other)):
        found[f"{prefix}input_ids"] = part.tokens
        found[f"{prefix}attention_mask"] = torch.ones_like(part.tokens)
        found[f"{prefix}completion_mask"] = part.completion_mask.long()
    return found


@pytest.mark.parametrize("swapped", [False, True], ids=["z above 0", "z clamped at 0"])
@pytest.mark.parametrize(("beta", "desirable", "undesirable"), [(0.1, 1.0, 1.0), (0.5, 0.7, 1.9)])
def test_kto(trl: Any, beta: float, desirable: float, undesirable: float, swapped: bool) -> None:
    from trl.trainer.kto_trainer import KTOTrainer

    method = find_method("kto")
    models = [decoder(4), decoder(5)]
    policy, frozen = reversed(models) if swapped else models
    frozen.requires_grad_(False)
    rows = [Completion(*ids, number % 3 != 1) for number, ids in enumerate(draw(7, 1))]
    batch = method.collate(method.complete(rows, [], 16), PAD, "stacked", range(7))
    labels = torch.tensor([row.label for row in rows])
    trainer = SimpleNamespace(
        model=torch.nn.Module(), ref_model=as_trl_calls_it(frozen), loss_type="kto", beta=beta,
        desirable_weight=desirable, undesirable_weight=undesirable, calculate_KL=True,
        precompute_ref_logps=False, aux_loss_enabled=False, _total_train_tokens=0, _tp_size=1,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        accelerator=SimpleNamespace(device="cpu", gather_for_metrics=lambda value: value),
        _metrics={"train": defaultdict(list)},
    )  # fmt: skip
    trainer.model.is_gradient_checkpointing = False
    trainer._compute_kl_logps = lambda *given: KTOTrainer._compute_kl_logps(trainer, *given)
    theirs = KTOTrainer._compute_loss(
        trainer, as_trl_calls_it(policy), kto_inputs(batch, labels), return_outputs=False
    )
    expected = weight_gradients(theirs, policy)

    settings = {
        "loss": "kto", "beta": beta, "desirable_weight": desirable,
        "undesirable_weight": undesirable,
    }  # fmt: skip
    reference = LiveReference(frozen)
    z = method.statistics(policy, [batch], settings, reference)
    ours = method.losses(policy, batch, settings, reference, z)
    loss = ours.values.mean()
    found = weight_gradients(loss, policy)
    told = {name: values[0] for name, values in trainer._metrics["train"].items()}
    assert float(z) == pytest.approx(told["kl"], abs=CLOSE)
    assert difference([loss.detach()], [theirs.detach()]) <= CLOSE
    assert difference(found, expected) <= CLOSE
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-4
    for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected"):
        assert float(ours.metrics[name].nanmean()) == pytest.approx(told[name], abs=CLOSE)
    print(f"kto, TRL {trl.__version__}, z {float(z):.3f}: value differs by "
          f"{float((loss - theirs).detach().abs()):.1e}, gradients by "
          f"{difference(found, expected):.1e}")  # fmt: skip


def test_z_is_clamped_for_one_of_the_two_directions() -> None:
    """So that both branches are compared above."""
    method = find_method("kto")
    rows = [Completion(*ids, True) for ids in draw(7, 1)]
    batch = method.collate(method.complete(rows, [], 16), PAD, "stacked", range(7))
    models = decoder(4), decoder(5)
    zs = [
        float(method.statistics(one, [batch], {"loss": "kto"}, LiveReference(other)))
        for one, other in (models, models[::-1])
    ]
    assert min(zs) == 0.0
    assert max(zs) > 0.1
