"""What stands in for the slow parts of the notebooks: smaller numbers, models and files."""

import json
import random
from pathlib import Path

import pytest

from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.tokenizer import Tokenizer
from workbench.models.load import Model, save_model

WORDS = (
    *("how", "do", "robots", "charge", "please", "wait", "for", "a", "green", "light"),
    *("then", "go", "back", "and", "ask", "me", "again"),
)
TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}please "


@pytest.fixture
def one_cache(monkeypatch, common_folder) -> None:
    """One cache for the notebooks of all test processes, so that one of them pretrains."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(common_folder / "notebooks-cache"))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory) -> Path:
    """A folder like the real model's: chat template, end token, Llama weights; but untrained."""
    folder = tmp_path_factory.mktemp("small-model")
    words = Tokenizer.from_words([*WORDS, "user", "system", "assistant"])
    tokenizer = Tokenizer(words.backend, words.eos_id, words.pad_id, (), TEMPLATE)
    shape = TransformerConfig(
        tokenizer.vocab_size, dim=32, layers=2, heads=2, kv_heads=1, hidden_dim=64
    )
    save_model(Model("small", Transformer(shape), tokenizer, shape.max_length), folder)
    return folder


@pytest.fixture(scope="session")
def small_pairs(tmp_path_factory) -> Path:
    """A file of a person's own, with one row that can't be used."""
    rng = random.Random(0)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=6))

    rows = [{"prompt": text(), "chosen": text(), "rejected": text()} for _ in range(20)]
    rows.append({"prompt": "how", "chosen": "wait", "rejected": "wait"})
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def shortened(small_model, small_pairs, tmp_path) -> dict[str, dict[str, object]]:
    """For each notebook, the parameters of its short form."""
    return {
        "00_start": {},
        "01_derivation": {},
        "02_scored_tokens": {"model": str(small_model)},
        "03_base_model": {"steps": 40, "texts": 1000, "samples": 32},
        "04_train_dpo": {
            "pairs": 512, "epochs": 1, "seeds": 1, "betas": [0.1], "sweep_folder": str(tmp_path),
        },
        "05_before_and_after": {"pairs": 512, "epochs": 1, "model": str(small_model)},
        "06_beta_and_kl": {"pairs": 256, "seeds": 1},
        "07_methods": {"pairs": 256, "epochs": 1, "kto_pairs": 128, "seeds": 1},
        "07b_where_losses_fail": {
            "displacement_pairs": 256, "displacement_seeds": 1, "break_seeds": 1,
            "bandit_seeds": 2, "proxy_worlds": 10,
        },
        "08_rlhf": {
            "shown": ["DPO"], "steps": 2, "max_steps": 8, "own_steps": 4, "own_pairs": 256,
        },
        "09_constitutional": {
            "model": str(small_model), "answers": 120, "seeds": 2, "asked": 3,
        },
        "10_real_model": {
            "model": str(small_model), "data": str(small_pairs), "held_out": 6, "epochs": 1,
        },
        "11_your_votes": {"asked": 12, "votes": 24, "rounds": 2},
    }  # fmt: skip
