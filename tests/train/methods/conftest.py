"""A small decoder in double precision, and what a whole optimiser step does to it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.train.batches import FixedBatches
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.train.loop import TrainState, fit
from workbench.train.reference.live import LiveReference

Ids = tuple[int, ...]
Logp = Callable[[nn.Module, Ids, Ids], Tensor]
VOCAB = 23


def decoder(seed: int) -> Transformer:
    shape = TransformerConfig(
        VOCAB, dim=16, layers=2, heads=2, kv_heads=1, hidden_dim=24, max_length=24
    )
    return Transformer(shape, seed=seed).double()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products this small take longer in several threads, where other programs run as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def policy() -> Transformer:
    return decoder(4)


@pytest.fixture
def other_model() -> Transformer:
    """Weights of its own, so that log-ratios are far from 0."""
    return decoder(5).requires_grad_(False)


@pytest.fixture
def reference(other_model: Transformer) -> LiveReference:
    return LiveReference(other_model)


@pytest.fixture(scope="session")
def logp() -> Logp:
    """The definition: log p of every token of a completion, given all tokens before it."""

    def compute(policy: nn.Module, prompt: Ids, completion: Ids) -> Tensor:
        logps = policy.logits(torch.tensor([[*prompt, *completion]])).log_softmax(-1)[0]
        return sum(
            logps[len(prompt) + number - 1, token] for number, token in enumerate(completion)
        )

    return compute


class OneStep(FixedBatches):
    """A source whose only step has all of these batches."""

    def __len__(self) -> int:
        return 1

    def at(self, step: int) -> list[SequenceBatch]:
        return list(self.batches)


TakeStep = Callable[..., tuple[dict[str, Tensor], dict[str, float]]]


@pytest.fixture(scope="session")
def take_step() -> TakeStep:
    """One step of `fit` on a copy of the policy: its gradients by name, and its metrics."""

    def take(
        policy: nn.Module,
        batches: Sequence[SequenceBatch],
        reference: LiveReference | None = None,
        **settings: Any,
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        policy = copy.deepcopy(policy)
        never_clipped = {"max_steps": 1, "max_grad_norm": 1e6, "precision": "float32"}
        config = TrainConfig(**{"lr": 1e-3, **never_clipped, **settings})
        state = TrainState.start(policy, config)
        found: dict[str, Tensor] = {}

        def keep(*_: Any) -> None:
            for name, weight in policy.named_parameters():
                if weight.grad is not None:
                    found[name] = weight.grad.clone()

        state.optimizer.register_step_pre_hook(keep)
        (event,) = fit(policy, OneStep(batches), config, reference=reference, state=state)
        assert isinstance(event, StepEvent)
        return found, event.metrics

    return take


@pytest.fixture(scope="session")
def gradients() -> Callable[[Tensor, nn.Module], dict[str, Tensor]]:
    """The gradients of a loss by name, as autograd gives them."""

    def compute(loss: Tensor, policy: nn.Module) -> dict[str, Tensor]:
        named = dict(policy.named_parameters())
        return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))

    return compute


@pytest.fixture(scope="session")
def assert_equal_gradients() -> Callable[[dict[str, Tensor], dict[str, Tensor]], None]:
    """All are equal to 1e-6 of the largest; not all are 0."""

    def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        assert found.keys() == expected.keys()
        largest = max(float(value.abs().max()) for value in expected.values())
        assert largest > 1e-6
        for name, value in expected.items():
            assert float((found[name] - value).abs().max()) <= 1e-6 * largest, name

    return check
