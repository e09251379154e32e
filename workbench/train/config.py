"""Every setting of a run, in one frozen dataclass.

A field's metadata makes its flag, its widget and its help. A field left at None takes the value
that `DEFAULTS` holds for the model, or the default of the loss; a value that a person gave is never
overridden. The parameters of the losses are fields too, one for each name, added here from
`LOSSES`. Nothing here loads torch, nor does any other `config.py`, so that the command line's help
is there at once.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar

from workbench.core.config import KERNELS, LAYOUTS
from workbench.core.losses import (
    LOSSES,
    MODIFIERS,
    Loss,
    all_parameters,
    check_parameter,
    find_loss,
)
from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError

SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("auto", "float32", "bf16")
METHODS = tuple(dict.fromkeys(loss.method for loss in LOSSES.values()))
DEVICES = ("auto", "cpu", "cuda", "mps")
# What a field left open becomes: for the embedded decoder, for real models, for their adapters.
DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {
        "lr": 5e-4, "epochs": 3, "batch_size": 64, "warmup": 5, "held_out": 128, "samples": 64,
        "eval_every": 16, "max_length": 64, "max_new_tokens": 40, "pairs_from": "reference",
        "shown_temperature": 1.0,
    },
    "real": {
        "lr": 5e-6, "epochs": 1, "batch_size": 8, "warmup": 5, "held_out": 60, "samples": 8,
        "eval_every": 15, "max_length": 512, "max_new_tokens": 40, "pairs_from": "grammar",
        "shown_temperature": 0.7,
    },
    "lora": {"lr": 2e-4},
}  # fmt: skip
# Tokens in one forward pass, where that is left open.
MAX_TOKENS = {"cpu": 1536, "mps": 4096, "cuda": 16_384}


def setting(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    log: bool = False,
    choices: tuple[str, ...] = (),
    open: bool = False,
) -> Any:
    """A dataclass field with what flags and widgets need to know.

    The range is inclusive; `open` where more than the `choices` is accepted.
    """
    facts = {"help": help, "low": low, "high": high, "log": log, "choices": choices, "open": open}
    return field(default=default, metadata=facts)


def _by_model(name: str) -> str:
    values = {kind: table[name] for kind, table in DEFAULTS.items() if name in table}
    return "left open: " + ", ".join(f"{value} ({kind})" for kind, value in values.items())


C = TypeVar("C", bound=type)


def _with_loss_parameters(cls: C) -> C:
    """Add a field for every parameter of any loss, behind the field `loss`."""
    own = dict(cls.__annotations__)
    position = list(own).index("loss") + 1
    added = {}
    for name, (parameter, default) in all_parameters().items():
        owners: dict[Any, list[str]] = {}
        for loss in LOSSES.values():
            if name in loss.parameters:
                owners.setdefault(loss.defaults[name], []).append(loss.name)
        values = ", ".join(f"{value!r} ({', '.join(names)})" for value, names in owners.items())
        help = f"{parameter.help}; left open: {values}"
        if name in MODIFIERS:
            help = f"{parameter.help}; left open: {default}, which changes nothing"
        facts = parameter.low, parameter.high, parameter.log, parameter.choices
        setattr(cls, name, setting(None, help, *facts))
        added[name] = f"{type(default).__name__} | None"
    cls.__annotations__ = dict([*own.items()][:position]) | added | dict([*own.items()][position:])
    return cls


@dataclass(frozen=True)
@_with_loss_parameters
class TrainConfig:
    """One run: model, data, method, loss and how to train."""

    model: str = setting("tiny", "tiny, smollm2, a folder, or a Hugging Face id")
    data: str = setting("reviews", "reviews (the embedded world), assistant (shipped), or a file")
    method: str | None = setting(
        None, "training method; left open: that of the loss", choices=METHODS
    )
    loss: str | None = setting(
        None, "loss, or a sum such as 0.8*dpo+0.2*nll; left open: dpo, or the first of the method",
        choices=tuple(LOSSES), open=True,
    )  # fmt: skip
    beta: float | None = None  # as those of all losses, see `_with_loss_parameters`
    ld_alpha: float | None = None
    lr: float | None = setting(
        None, f"learning rate of AdamW; {_by_model('lr')}", 1e-7, 1e-1, log=True
    )
    warmup: int | None = setting(None, f"steps of linear warm-up; {_by_model('warmup')}", 0, 10_000)
    epochs: int | None = setting(
        None, f"times through the training data; {_by_model('epochs')}", 1, 1000
    )
    schedule: str = setting(
        "constant", "learning rate: constant, or falling to 0 on a line or half a cosine",
        choices=SCHEDULES,
    )  # fmt: skip
    max_steps: int = setting(0, "end after this many steps; 0: after the epochs", 0, 10_000_000)
    batch_size: int | None = setting(
        None, f"rows per forward pass; {_by_model('batch_size')}", 1, 4096
    )
    accumulate: int = setting(1, "forward passes per optimiser step", 1, 1024)
    max_tokens: int | None = setting(
        None,
        "longer forward passes are split, for memory, 0: never; left open: "
        + ", ".join(f"{value} ({device})" for device, value in MAX_TOKENS.items()),
        0,
        10**7,
    )
    max_grad_norm: float = setting(1.0, "gradients are clipped to this norm", 1e-6, 1e6, log=True)
    weight_decay: float = setting(0.0, "decoupled weight decay of AdamW", 0.0, 1.0)
    held_out: int | None = setting(
        None, f"rows kept for evaluation, split by prompt; {_by_model('held_out')}", 0, 100_000
    )
    eval_every: int | None = setting(
        None, f"steps between evaluations, 0: first and last; {_by_model('eval_every')}", 0, 10**6
    )
    samples: int | None = setting(
        None, f"held-out prompts answered at each evaluation; {_by_model('samples')}", 0, 4096
    )
    max_new_tokens: int | None = setting(
        None, f"longest answer sampled, tokens; {_by_model('max_new_tokens')}", 1, 4096
    )
    shown_temperature: float | None = setting(
        None,
        "temperature of the texts shown, while numbers are taken at 1; "
        + _by_model("shown_temperature"),
        0.0,
        5.0,
    )
    max_length: int | None = setting(
        None, f"longest prompt with completion, tokens; {_by_model('max_length')}", 2, 131_072
    )
    checkpoint_every: int = setting(0, "steps between checkpoints; 0: each epoch", 0, 10**6)
    pairs_from: str | None = setting(
        None, f"which source writes the reviews that are compared; {_by_model('pairs_from')}",
        choices=("reference", "grammar"),
    )  # fmt: skip
    lora: int = setting(0, "rank of low-rank adapters; 0: train all weights", 0, 1024)
    reference: str | None = setting(
        None, "reference log-probabilities: computed once, or at every step; left open: cached",
        choices=("cached", "live"),
    )  # fmt: skip
    layout: str | None = setting(
        None, "prompt once per completion, once per pair, or all rows in one without padding; left "
        "open: the last that the model takes",
        choices=LAYOUTS,
    )  # fmt: skip
    kernels: str = setting(
        "fast", "how the model is computed: in the fastest equal form, or as it is defined",
        choices=KERNELS,
    )  # fmt: skip
    bucket: bool = setting(True, "rows of similar length together")
    recompute: bool = setting(False, "compute activations again backwards, to save memory")
    precision: str = setting("auto", "bf16 where the machine gains by it", choices=PRECISIONS)
    device: str = setting("auto", "where to compute", choices=DEVICES)
    seed: int = setting(0, "of the split, the order of the data and the samples", 0, 2**31 - 1)
    out: str | None = setting(None, "folder of the run; none: nothing is written")
    world: ReviewsConfig = field(default_factory=ReviewsConfig)

    def __post_init__(self) -> None:
        known = all_parameters()
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name == "world" or (value is None and part.default is None):
                continue
            if part.name in known:
                check_parameter(part.name, value)
            elif part.name == "loss":
                self._check_parameters(find_loss(value, self.method))
            else:
                check_setting(part, value)

    def _check_parameters(self, loss: Loss) -> None:
        """Raise for a parameter out of this loss's own range, and for what it can't be given."""
        names = [*loss.parameters, *MODIFIERS]
        given = {name: getattr(self, name) for name in names}
        loss.check(**{name: value for name, value in given.items() if value is not None})
        if self.reference is not None and not loss.needs_reference:
            raise WorkbenchError(
                f"reference={self.reference!r} is not accepted: {loss.name} compares with none"
            )

    def resolved(self) -> TrainConfig:
        """The same with every open field filled in for the model and the loss."""
        table = dict(DEFAULTS["tiny" if self.model == "tiny" else "real"])
        if self.lora and self.model != "tiny":
            table |= DEFAULTS["lora"]
        loss = find_loss(self.loss or _first_loss(self.method))
        table |= {"loss": loss.name, "method": loss.method, **loss.defaults}
        if loss.needs_reference:
            table["reference"] = "cached"
        open_fields = {name: table[name] for name in table if getattr(self, name) is None}
        return replace(self, **open_fields)


def _first_loss(method: str | None) -> str:
    return next(name for name, loss in LOSSES.items() if method in (None, loss.method))


def check_setting(part: Field[Any], value: Any) -> None:
    """Raise for a value of another type, out of range or not among the choices."""
    name, facts, kind = part.name, part.metadata, str(part.type).split(" ")[0]
    if facts["choices"] and value not in facts["choices"]:
        accepted = ", ".join(facts["choices"])
        raise WorkbenchError(f"{name}={value!r} is unknown; accepted: {accepted}")
    if kind == "str" and not (isinstance(value, str) and value and _is_writable(value)):
        raise WorkbenchError(f"{name}={value!r} is not accepted: a text of Unicode characters")
    if kind == "bool" and not isinstance(value, bool):
        raise WorkbenchError(f"{name}={value!r} is not accepted: True or False")
    if facts["low"] is not None:
        _check_number(name, value, whole=kind == "int", low=facts["low"], high=facts["high"])


def _check_number(name: str, value: Any, whole: bool, low: float, high: float) -> None:
    numeric = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (numeric and low <= value <= high):
        number = "a whole number from " if whole else ""
        raise WorkbenchError(f"{name}={value!r} is not accepted: {number}{low:g} to {high:g}")


def _is_writable(text: str) -> bool:
    """Half a Unicode character can't be written into the run's config, nor NUL into a path."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
