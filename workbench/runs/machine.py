"""What this machine has: versions, processor or GPU, bf16, the real model in the cache."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import pandas as pd
import torch

from workbench.data.cache import cache_folder
from workbench.models.smollm2 import FOLDER
from workbench.train.precision import bf16_gain, pick_device

PACKAGES = ("dpo-workbench", "torch", "jupyterlab", "ipywidgets", "transformers", "peft", "gguf")


def check_machine() -> pd.DataFrame:
    """One row a finding, with what follows from it; takes well under a second."""
    device = pick_device("auto")
    gain = bf16_gain(device)
    pays = "used for real models" if gain > 4 / 3 else "not used: float32 is as fast here"
    spins = os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE"
    waiting = "start by run.py, or training slows tenfold beside other programs"
    rows = [
        ("system", platform.platform(terse=True), ""),
        ("python", platform.python_version(), ""),
        *[(name, _version(name), "") for name in PACKAGES],
        ("processor threads", str(os.cpu_count()), "the tiny model uses one, real models all"),
        ("threads that wait", "spin" if spins else "sleep", waiting if spins else ""),
        ("device", _device_name(device), ""),
        ("bf16 products", f"{gain:.1f} times as fast as float32", pays),
        ("real model", *_real_model()),
    ]
    return pd.DataFrame(rows, columns=["what", "found", "what follows"])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


def _real_model() -> tuple[str, str]:
    if (cache_folder() / FOLDER / "model.safetensors").exists():
        return "SmolLM2-135M-Instruct (4-bit file) is here", "10_real_model.ipynb starts at once"
    return "not fetched yet", "10_real_model.ipynb fetches the 4-bit file once, about 93 MB"
