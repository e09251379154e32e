"""TRL's names for the losses and settings of a run, and what it has no equal of.

Losses are equal in value and gradient to those of TRL's own trainers where this says nothing else;
the tests compare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig
from workbench.train.settings import LiveSettings

# Losses of DPOTrainer, by our name.
DPO = {
    "dpo": "sigmoid", "robust": "robust", "hinge": "hinge", "ipo": "ipo",
    "dpo_norm": "sigmoid_norm", "exo_pair": "exo_pair", "nca_pair": "nca_pair",
    "bco_pair": "bco_pair", "sppo_hard": "sppo_hard", "aot": "aot",
    "aot_unpaired": "aot_unpaired", "apo_zero": "apo_zero", "apo_down": "apo_down",
    "discopop": "discopop", "nll": "sft",
}  # fmt: skip
DIVERGENCES = {
    "reverse_kl": "reverse_kl", "forward_kl": "forward_kl",
    "jensen_shannon": "js_divergence", "alpha": "alpha_divergence",
}  # fmt: skip
OTHERS = ("simpo", "cpo", "orpo", "kto", "sft")
MEAN = "TRL takes the mean of the likelihood over all tokens of a batch, not over its pairs"


@dataclass
class Equivalent:
    """A trainer of TRL with its settings.

    `differs` says in what its loss is not ours, empty where it is the same.
    """

    trainer: str
    arguments: dict[str, Any]
    differs: list[str] = field(default_factory=list)


def equivalent(config: TrainConfig) -> Equivalent:
    """The trainer of TRL that does what a run does; all fields of `config` are filled in.

    Raises:
        WorkbenchError: TRL has no equal of its loss, or of a parameter.
    """
    settings, loss = LiveSettings.start(config), str(config.loss)
    make = {"simpo": _simpo, "cpo": _cpo, "orpo": _orpo, "kto": _kto, "sft": _sft}.get(loss, _dpo)
    if make is not _dpo and settings.get("wpo"):
        raise WorkbenchError(f"wpo=True has no equal in TRL for loss {loss}; accepted: False")
    found = make(settings)
    found.arguments |= _loop(config)
    if config.precision == "bf16":
        found.differs.append("bf16 rounds in other places there")
    return found


def _dpo(settings: Mapping[str, Any]) -> Equivalent:
    weights, names = [], []
    for term in str(settings["loss"]).split("+"):
        weight, _, name = term.strip().rpartition("*")
        if name.strip() not in DPO:
            accepted = ", ".join([*DPO, *OTHERS])
            raise WorkbenchError(f"TRL has no equal of loss {name.strip()}; accepted: {accepted}")
        weights.append(float(weight or 1))
        names.append(name.strip())
    if "ipo" in names and not settings["normalize"]:
        raise WorkbenchError("TRL's ipo is per token; accepted: runs with normalize=True")
    given = {
        "beta": settings.get("beta"),
        "loss_type": [DPO[name] for name in names],
        "loss_weights": weights,
        "label_smoothing": settings["label_smoothing"] if _smooths(names) else 0.0,
        "discopop_tau": settings.get("tau"),
        "f_divergence_type": DIVERGENCES[settings["divergence"]],
        "f_alpha_divergence_coef": settings["divergence_alpha"],
        "ld_alpha": settings["ld_alpha"] if settings["ld_alpha"] != 1 else None,
        "use_weighting": bool(settings["wpo"]),
    }
    if settings["wpo"] and {"hinge", "nll"} & {*names}:
        raise WorkbenchError("TRL can't weigh hinge or nll; accepted for them: wpo=False")
    differs = [MEAN] if "nll" in names else []
    return Equivalent("DPO", {k: v for k, v in given.items() if v is not None}, differs)


def _smooths(names: list[str]) -> bool:
    return bool({"robust", "exo_pair", "aot", "aot_unpaired"} & {*names})


def _simpo(settings: Mapping[str, Any]) -> Equivalent:
    given = {"loss_type": "simpo", "cpo_alpha": 0.0, "simpo_gamma": settings["gamma"]}
    return Equivalent("CPO", {"beta": settings["beta"], **given})


def _cpo(settings: Mapping[str, Any]) -> Equivalent:
    weight = settings["nll_weight"]
    given = {"loss_type": "sigmoid", "beta": settings["beta"], "cpo_alpha": weight}
    return Equivalent("CPO", given, [MEAN] if weight else [])


def _orpo(settings: Mapping[str, Any]) -> Equivalent:
    return Equivalent(
        "ORPO", {"beta": settings["odds_weight"]}, [f"{MEAN}, and takes in the prompt"]
    )


def _kto(settings: Mapping[str, Any]) -> Equivalent:
    names = ("beta", "desirable_weight", "undesirable_weight")
    return Equivalent("KTO", {"loss_type": "kto", **{name: settings[name] for name in names}})


def _sft(settings: Mapping[str, Any]) -> Equivalent:
    return Equivalent("SFT", {"loss_type": "nll", "completion_only_loss": True, "packing": False})


def _loop(config: TrainConfig) -> dict[str, Any]:
    """What is the same for every trainer."""
    return {
        "learning_rate": config.lr,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "bf16": config.precision == "bf16",
        "gradient_checkpointing": config.recompute,
        "max_length": None,  # the rows are cut already
        "seed": config.seed,
    }
