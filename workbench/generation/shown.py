"""How the answers that people read are drawn: as a model's makers recommend, else greedily.

At temperature 1 a small model's answers differ from draw to draw more than training changes them,
so a reader would compare the dice. Estimates (KL, win rates, true rewards) do not come here: they
are about the policy's own distribution and stay at temperature 1, without filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from workbench.core.policy import Recommended
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.decoding_rows import max_length_of
from workbench.generation.filters import FILTERS
from workbench.generation.stops import Decode

DECODING = ("temperature", *FILTERS, "repetition_penalty")  # what makers recommend
LENGTH = 128  # tokens; longest answer that is shown
NAMES = {"max_new_tokens": "longest answer", "contrast_alpha": "contrast", "stop": "stop strings"}


def recommended(policy: Any) -> Recommended:
    """What is recommended for a policy, or for the language model within it.

    Recommendations that `SamplingConfig` does not take count as none.
    """
    policy = getattr(policy, "language_model", policy)
    found = getattr(policy, "recommended_sampling", policy)
    if not isinstance(found, Recommended):
        return Recommended()
    try:
        SamplingConfig(**found.settings)
    except WorkbenchError:
        return Recommended()
    return found


def shown_sampling(
    policy: Any, temperature: float | None = None, max_new_tokens: int = LENGTH, seed: int = 0
) -> SamplingConfig:
    """How answers of `policy` are drawn for people to read.

    Args:
        policy: its `recommended_sampling` says how; or this itself.
        temperature: given, it takes the place of what is recommended, filters included.
    """
    given = recommended(policy).settings if temperature is None else {"temperature": temperature}
    return SamplingConfig(**given, max_new_tokens=max_new_tokens, seed=seed)


def described(sampling: SamplingConfig, policies: Sequence[Any] = ()) -> str:
    """The settings in one line, and whether they are what is recommended for all `policies`.

    >>> described(SamplingConfig(0.2, top_p=0.9, stop=("\\n",)))
    "temperature 0.2, top-p 0.9 · seed 0 · stop strings '\\\\n'"
    >>> described(SamplingConfig(temperature=0))
    'greedy'
    """
    parts = [", ".join([_first(sampling), *_listed(sampling, DECODING[1:], "-")])]
    reasons = {recommended(policy) for policy in policies}
    if len(reasons) == 1 and _same(sampling, only := reasons.pop()):
        parts[0] += f", {only.why}"
    if sampling.temperature > 0:
        parts.append(f"seed {sampling.seed}")
    names = [part.name for part in fields(sampling) if part.name not in (*DECODING, "seed")]
    return " · ".join([*parts, *_listed(sampling, names, " ")])


def _first(sampling: SamplingConfig) -> str:
    if sampling.temperature > 0:
        return f"temperature {sampling.temperature:g}"
    return "greedy" if sampling.beams == 1 else "likeliest text"


def _same(sampling: SamplingConfig, known: Recommended) -> bool:
    plain = SamplingConfig(**known.settings)
    names = (*DECODING, "beams", "contrast_alpha")
    return all(getattr(sampling, name) == getattr(plain, name) for name in names)


def _listed(sampling: SamplingConfig, names: Sequence[str], between: str) -> list[str]:
    """Those of the settings that differ from the default."""
    defaults = {part.name: part.default for part in fields(sampling)}
    return [
        f"{name_of(name, between)} {_written(value)}"
        for name in names
        if (value := getattr(sampling, name)) != defaults[name]
    ]


def name_of(field: str, between: str = " ") -> str:
    """A setting's name for people."""
    return NAMES.get(field, field.replace("_", between))


def _written(value: float | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(repr, value))
    return str(value) if isinstance(value, int) else f"{value:g}"


def cut_at(
    policy: Any, prompt: Sequence[int], ids: Sequence[int], sampling: SamplingConfig, decode: Decode
) -> int:
    """The number of tokens at which an answer was cut off; 0 where it ran to its end.

    It ends at its end token, which `ids` do not hold, or at a stop string.
    """
    longest = min(sampling.max_new_tokens, max_length_of(policy) - len(prompt))
    stopped = bool(sampling.stop) and any(string in decode(ids) for string in sampling.stop)
    return 0 if stopped or len(ids) < longest else len(ids)
