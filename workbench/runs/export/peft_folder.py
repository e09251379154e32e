"""Adapters apart from the model that they adapt, as `peft` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file

from workbench.data.cache import atomic_write
from workbench.data.json_rows import write_json
from workbench.models.load import HUB_ID, Model
from workbench.models.lora import adapter_settings, lora_state
from workbench.runs.export.contents import Contents
from workbench.runs.export.hf_folder import write_hf

BASE = "base"


class Base(NamedTuple):
    """Where the adapted model is: what the adapters call it, and where it is while they are
    checked."""

    named: str
    here: str
    note: str


def base_of(contents: Contents, part: Path, folder: Path) -> Base:
    """The base of a run's adapters; what no other tool finds by its name is written beside them."""
    name = contents.run.config.model
    given = Path(name).expanduser()
    if (given / "config.json").is_file():
        return Base(str(given.absolute()), str(given), f"the base is {given.absolute()}")
    if name not in ("tiny", "smollm2") and HUB_ID.fullmatch(name):
        return Base(name, name, f"the base is {name} on the Hugging Face hub")
    write_hf(contents.base, part / BASE)
    place = str(folder / BASE)
    note = f"the base is the folder {BASE} beside the adapters; moved, give it to from_pretrained"
    return Base(place, str(part / BASE), note)


def write_peft(model: Model, base: str, part: Path) -> None:
    """Write `adapter_config.json`, `adapter_model.safetensors` and the tokenizer."""
    policy, ours = model.policy, model.policy.checkpoint_format == "llama"
    weights = {}
    for name, value in lora_state(policy).items():
        # The small decoder's names lack `model.`; a wrapped model has it twice.
        inner = f"model.{name}" if ours else name.removeprefix("model.")
        key = f"base_model.model.{inner.replace('.default.', '.')}"
        weights[key] = value.detach().cpu().float().contiguous()
    atomic_write(
        part / "adapter_model.safetensors", lambda path: save_file(weights, path, {"format": "pt"})
    )
    content: dict[str, Any] = {
        **adapter_settings(policy),
        "base_model_name_or_path": base,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
    }
    write_json(part / "adapter_config.json", content)
    model.tokenizer.save(part)
