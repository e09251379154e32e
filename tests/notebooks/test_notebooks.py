"""Every notebook runs from top to bottom, and what is saved reads well where no kernel is.

The same cells as a reader's, with smaller numbers behind the cell that is tagged `parameters`; with
--full they run as they stand, the real model included.
"""

import json
import os
import random
from pathlib import Path

import nbformat
import pytest
from runner import HEADLESS, NOTEBOOKS, execute

from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.tokenizer import Tokenizer
from workbench.models.load import Model, save_model

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
WORDS = (
    *("how", "do", "robots", "charge", "please", "wait", "for", "a", "green", "light"),
    *("then", "go", "back", "and", "ask", "me", "again"),
)
TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}please "


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
def shortened(small_model, small_pairs) -> dict[str, dict[str, object]]:
    return {
        "00_start": {},
        "01_derivation": {},
        "02_scored_tokens": {"model": str(small_model)},
        "03_base_model": {"steps": 60, "texts": 2000},
        "04_train_dpo": {"pairs": 512, "epochs": 1},
        "06_beta_and_kl": {"pairs": 256, "seeds": 1},
        "10_real_model": {
            "model": str(small_model), "data": str(small_pairs), "held_out": 6, "epochs": 1,
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name, shortened):
    notebook = execute(NOTEBOOKS / f"{name}.ipynb", HEADLESS | shortened[name])
    assert "1 rows set aside" in written(notebook) or name != "10_real_model"


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_runs_as_it_stands(name, real_cache, monkeypatch):
    if name == "10_real_model" and real_cache.exists():
        monkeypatch.setenv("WORKBENCH_CACHE", str(real_cache))
    execute(NOTEBOOKS / f"{name}.ipynb", HEADLESS)


def written(notebook) -> str:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_saved_notebooks_read_well_without_a_kernel(name):
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            assert output.output_type != "error"
            kinds = output.get("data", {})
            assert "application/vnd.jupyter.widget-view+json" not in kinds
            assert "Figure" not in kinds.get("text/plain", "") or "image/png" in kinds
    assert any(cell.get("outputs") for cell in notebook.cells)
    assert os.sep + "tmp" not in path.read_text(encoding="utf-8")
    assert path.stat().st_size < 400_000
