"""Every setting of a run, in one frozen dataclass.

A field's metadata makes its flag, its widget and its help. A field left at None takes the value
that `DEFAULTS` holds for the model, or the default of the loss; a value that a person gave is never
overridden. The parameters of the losses are fields too, one for each name, added here from
`LOSSES`. Nothing here loads torch, nor does any other `config.py`, so that the command line's help
is there at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from workbench.core.config import KERNELS, LAYOUTS
from workbench.core.losses import (
    LOSSES,
    MODIFIERS,
    Loss,
    all_parameters,
    check_parameter,
    find_loss,
)
from workbench.data.layouts.reading import RANKED, TURNS, Reading
from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.paths import given
from workbench.train.config.defaults import DEFAULTS, MAX_TOKENS, ROLLOUTS, by_model
from workbench.train.config.field_checks import check_field, setting
from workbench.train.config.loss_fields import with_loss_parameters

SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("auto", "float32", "bf16")
METHODS = tuple(dict.fromkeys(loss.method for loss in LOSSES.values()))
OF_ROLLOUTS = ("reward", "rollout_size", "group_size", "rollout_epochs", "kl_target")
SHARDS = ("none", "ddp", "fsdp")
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
@with_loss_parameters
class TrainConfig:
    """One run: model, data, method, loss and how to train."""

    model: str = setting(
        "tiny", "tiny; smollm2, the 4-bit file (Q4_1) dequantised; for full weights and all else a "
        "folder, or a Hugging Face id such as HuggingFaceTB/SmolLM2-135M-Instruct", path=True,
    )  # fmt: skip
    data: str = setting(
        "reviews", "reviews (the embedded world), a shipped set (assistant, brief), a file; "
        "hub:ORG/NAME:SPLIT, a data set of Hugging Face", path=True,
    )  # fmt: skip
    columns: str | None = setting(
        None, "columns of the file that have other names: prompt=question,chosen=best"
    )
    turns: str = setting(
        "last", "the assistant's turns that are scored in a conversation", choices=TURNS
    )
    ranked: str = setting(
        "all", "pairs that a list of scored or ranked answers gives", choices=RANKED
    )
    min_gap: float = setting(
        0.0, "least difference of the scores (or ranks) of a pair's sides", 0.0, 1e6
    )
    allow_special: bool = setting(
        False, "names of special tokens inside texts are read as those tokens, not as letters"
    )
    method: str | None = setting(
        None, "training method; left open: that of the loss", choices=METHODS
    )
    loss: str | None = setting(
        None, "loss, or a sum such as 0.8*dpo+0.2*nll; left open: dpo, or the first of the method",
        choices=tuple(LOSSES), open=True,
    )  # fmt: skip
    beta: float | None = None  # as those of all losses, see `with_loss_parameters`
    ld_alpha: float | None = None
    lr: float | None = setting(
        None, f"learning rate of AdamW; {by_model('lr')}", 1e-7, 1e-1, log=True
    )
    warmup: int | None = setting(None, f"steps of linear warm-up; {by_model('warmup')}", 0, 10_000)
    epochs: int | None = setting(
        None, f"times through the training data; {by_model('epochs')}", 1, 1000
    )
    schedule: str = setting(
        "constant", "learning rate: constant, or falling to 0 on a line or half a cosine",
        choices=SCHEDULES,
    )  # fmt: skip
    max_steps: int = setting(0, "end after this many steps; 0: after the epochs", 0, 10_000_000)
    batch_size: int | None = setting(
        None, f"rows per forward pass; {by_model('batch_size')}", 1, 4096
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
        None, f"rows kept for evaluation, split by prompt; {by_model('held_out')}", 0, 100_000
    )
    eval_every: int | None = setting(
        None, f"steps between evaluations, 0: first and last; {by_model('eval_every')}", 0, 10**6
    )
    samples: int | None = setting(
        None, f"held-out prompts answered at each evaluation; {by_model('samples')}", 0, 4096
    )
    max_new_tokens: int | None = setting(
        None, f"longest answer sampled for numbers, tokens; {by_model('max_new_tokens')}", 1, 4096
    )
    shown_temperature: float | None = setting(
        None,
        "temperature of the answers shown, while numbers are taken at 1; left open: as the model's "
        "makers recommend, else greedy",
        0.0,
        5.0,
    )
    shown_length: int | None = setting(
        None, f"longest answer shown, tokens; {by_model('shown_length')}", 1, 4096
    )
    max_length: int | None = setting(
        None, f"longest prompt with completion, tokens; {by_model('max_length')}", 2, 131_072
    )
    checkpoint_every: int = setting(0, "steps between checkpoints; 0: each epoch", 0, 10**6)
    checkpoint_minutes: float = setting(
        2.0, "most minutes of work between checkpoints to go on from; 0: by steps alone", 0.0, 1e5
    )
    pairs_from: str | None = setting(
        None, f"which source writes the reviews that are compared; {by_model('pairs_from')}",
        choices=("reference", "grammar"),
    )  # fmt: skip
    reward: str | None = setting(
        None, "what scores the completions that the policy writes: world (the true reward of the "
        "reviews), polite, short, a run folder of method reward_model, or FILE.py:FUNCTION; left "
        "open: world (reviews)", path=True,
    )  # fmt: skip
    rollout_size: int | None = setting(
        None, f"completions written before each update; {by_model('rollout_size', ROLLOUTS)}",
        1, 65_536,
    )  # fmt: skip
    group_size: int | None = setting(
        None, f"completions of each prompt in a rollout; {by_model('group_size', ROLLOUTS)}", 1, 256
    )
    rollout_epochs: int | None = setting(
        None, f"times through each rollout; {by_model('rollout_epochs', ROLLOUTS)}", 1, 64
    )
    kl_target: float | None = setting(
        None, "KL of a rollout, nats, to which the KL penalty is steered; left open: it is not",
        1e-3, 1e3, log=True,
    )  # fmt: skip
    lora: int = setting(0, "rank of low-rank adapters; 0: train all weights", 0, 1024)
    reference: str | None = setting(
        None, "reference log-probabilities: computed once, or at every step; left open: cached, of "
        "large data live",
        choices=("cached", "live"),
    )  # fmt: skip
    layout: str | None = setting(
        None, "prompt once per completion, once per pair, or all rows in one without padding; left "
        "open: the last that the model takes",
        choices=LAYOUTS,
    )  # fmt: skip
    kernels: str = setting(
        "fast", "how the model is computed: in the fastest equal form; as it is defined; or, on a "
        "GPU, also in forms whose gain was not measured yet",
        choices=KERNELS,
    )  # fmt: skip
    bucket: bool = setting(True, "rows of similar length together")
    shard: str | None = setting(
        None, "what each of several processes holds: all weights (ddp, also where left open), or a "
        "share of them (fsdp)", choices=SHARDS,
    )  # fmt: skip
    recompute: bool = setting(False, "compute activations again backwards, to save memory")
    precision: str = setting("auto", "bf16 where the machine gains by it", choices=PRECISIONS)
    device: str = setting("auto", "where to compute", choices=DEVICES)
    seed: int = setting(0, "of the split, the order of the data and the samples", 0, 2**31 - 1)
    out: str | None = setting(None, "folder of the run; none: nothing is written", path=True)
    world: ReviewsConfig = field(default_factory=ReviewsConfig)

    def __post_init__(self) -> None:
        known = all_parameters()
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name == "world" or (value is None and part.default is None):
                continue
            if part.metadata.get("path") and isinstance(value, str):
                value = given(value, part.name)
                object.__setattr__(self, part.name, value)
            if part.name in known:
                check_parameter(part.name, value)
            elif part.name == "loss":
                self._check_parameters(find_loss(value, self.method))
            elif part.name in OF_ROLLOUTS:
                check_field(part, value)
                loss = find_loss(self.loss or _first_loss(self.method))
                if not loss.rollouts:
                    raise WorkbenchError(
                        f"{part.name}={value!r} is not accepted: {loss.name} trains on given rows, "
                        "not on what the policy writes"
                    )
                if part.name == "kl_target" and "beta" not in loss.parameters:
                    raise WorkbenchError(
                        f"kl_target={value!r} is not accepted: {loss.name} has no KL penalty"
                    )
            else:
                check_field(part, value)

    def _check_parameters(self, loss: Loss) -> None:
        """Raise for a parameter out of this loss's own range, and for what it can't be given."""
        names = [*loss.parameters, *MODIFIERS]
        given = {name: getattr(self, name) for name in names}
        loss.check(**{name: value for name, value in given.items() if value is not None})
        if self.reference is not None and not loss.needs_reference:
            raise WorkbenchError(
                f"reference={self.reference!r} is not accepted: {loss.name} compares with none"
            )
        if self.reference == "cached" and loss.rollouts:
            raise WorkbenchError(
                f"reference='cached' is not accepted: {loss.name} scores what the policy writes; "
                "use live"
            )

    @property
    def reading(self) -> Reading:
        """How the file is read."""
        return Reading(self.columns, self.turns, self.ranked, self.min_gap)

    def resolved(self) -> TrainConfig:
        """The same with every open field filled in for the model and the loss."""
        table = dict(DEFAULTS["tiny" if self.model == "tiny" else "real"])
        if self.lora and self.model != "tiny":
            table |= DEFAULTS["lora"]
        loss = find_loss(self.loss or _first_loss(self.method))
        table |= {"loss": loss.name, "method": loss.method, **loss.defaults}
        if loss.needs_reference:
            table["reference"] = "live" if loss.rollouts else "cached"
        if loss.rollouts:
            kind = "tiny" if self.model == "tiny" else "real"
            table |= ROLLOUTS[kind] | ROLLOUTS[loss.method]
            table |= {"reward": "world"} if self.data == "reviews" else {}
        open_fields = {name: table[name] for name in table if getattr(self, name) is None}
        return replace(self, **open_fields)


def _first_loss(method: str | None) -> str:
    return next(name for name, loss in LOSSES.items() if method in (None, loss.method))
