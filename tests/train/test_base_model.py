"""The embedded base model: trained once, kept, and the same from the cache as fresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import model_hash
from workbench.train import base_model as module
from workbench.train.base_model import BaseConfig, cached_base, new_model, pretrain, tiny_base
from workbench.train.events import StepEvent

WORLD = ReviewsConfig(pairs=8, topics=3)
SMALL = BaseConfig(dim=16, layers=1, hidden_dim=24, steps=8, texts=256)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    return tmp_path


def test_it_learns_to_write_and_is_sharpened_at_the_end() -> None:
    world = Reviews(WORLD)
    plain, sharp = (new_model(world, SMALL) for _ in range(2))
    losses = [e.metrics["loss"] for e in pretrain(plain, world, replace(SMALL, sharpen=1.0))]  # type: ignore[union-attr]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    for event in pretrain(sharp, world, replace(SMALL, sharpen=2.0)):
        assert isinstance(event, StepEvent)
    tokens = torch.tensor([world.tokenizer.render_prompt(world.prompts[0])])
    with torch.no_grad():
        assert torch.allclose(
            sharp.policy.logits(tokens), 2 * plain.policy.logits(tokens), atol=1e-5
        )


def test_it_is_made_once_and_read_back_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    fresh = tiny_base(WORLD, SMALL, lambda text, share: told.append(share))
    assert told == pytest.approx([i / 8 for i in range(1, 9)])
    assert [path.name for path in cache.iterdir()] == [cached_base(WORLD, SMALL).name]
    monkeypatch.setattr(module, "pretrain", lambda *_: pytest.fail("trained again"))
    again = tiny_base(WORLD, SMALL)
    assert model_hash(again.policy) == model_hash(fresh.policy)
    assert again.tokenizer.digest == fresh.tokenizer.digest
    assert (again.name, again.max_length) == (fresh.name, fresh.max_length) == ("tiny", 64)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_one_that_is_damaged_is_set_aside_and_made_anew(name: str) -> None:
    fresh = tiny_base(WORLD, SMALL)
    path = cached_base(WORLD, SMALL) / name
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.warns(UserWarning, match=f"{name} has another SHA-256"):
        again = tiny_base(WORLD, SMALL)
    assert model_hash(again.policy) == model_hash(fresh.policy)
    assert path.read_bytes() == content


def test_what_it_depends_on_gives_it_another_place() -> None:
    places = [
        cached_base(WORLD, SMALL),
        cached_base(replace(WORLD, topics=4), SMALL),
        cached_base(replace(WORLD, world_seed=1), SMALL),
        cached_base(WORLD, replace(SMALL, steps=9)),
        cached_base(WORLD, replace(SMALL, sharpen=1.1)),
    ]
    assert len(set(places)) == len(places)
    assert cached_base(replace(WORLD, pairs=9, label_noise=0.2), SMALL) == places[0]


def test_a_cache_that_takes_nothing_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_comparable(path: Path, fill: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "atomic_folder", check_comparable)
    with pytest.raises(WorkbenchError, match=f"can't be kept in {cache}: Permission denied"):
        tiny_base(WORLD, SMALL)


def test_another_process_may_be_the_first_to_finish(beaten: Callable[[], None]) -> None:
    """Both train, one is first to keep its own; the other takes no harm."""
    beaten()
    model = tiny_base(WORLD, SMALL)
    assert model_hash(tiny_base(WORLD, SMALL).policy) == model_hash(model.policy)


@pytest.fixture
def beaten(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """While we write, somebody else's takes the name."""
    write = module.atomic_folder

    def late(path: Path, fill: Callable[[Path], None]) -> None:
        def fill_and_lose(part: Path) -> None:
            fill(part)
            write(path, fill)

        write(path, fill_and_lose)

    return lambda: monkeypatch.setattr(module, "atomic_folder", late)
