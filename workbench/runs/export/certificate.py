"""The certificate: what the exported model gives, loaded by plain libraries in a process of its
own, beside what the policy gives here."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from workbench.core.collation import collate_sequences
from workbench.core.policy import PLAIN, Policy
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate
from workbench.runs.export.contents import Contents
from workbench.train.model_lock import model_lock

TEMPLATES = Path(__file__).parent / "templates"
MOST = 40  # tokens of a greedy answer
OTHER_TOKENIZER = (
    "AutoTokenizer takes another tokenizer for this kind of model than the folder holds, and gives "
    "some texts other ids: load it by PreTrainedTokenizerFast.from_pretrained"
)
# Largest difference of a token's log-probability, in nats, by the number format of the weights.
TOLERANCES = {"float32": 1e-5, "float16": 5e-2, "bfloat16": 5e-1}


class CertificateError(WorkbenchError):
    """What was exported is not the model that was trained; nothing is left of it."""


@dataclass
class Certificate:
    """How far an export gives what the policy gives.

    The weights are those of the file; log-probabilities are compared as computed in float64, so
    that what differs is a weight or a formula. In float32 the order of sums alone moves them: two
    of transformers' own kinds of attention differ by 1.8e-5 nats on SmolLM2.

    Attributes:
        to: the form.
        folder: where it is.
        dtype: number format of the exported weights.
        largest: the largest difference of a scored token's log-probability, in nats.
        tolerance: that is accepted for `dtype`.
        in_float32: the same, computed in float32 on both sides.
        tokens: how many were scored, of `rows`.
        answers, equal: greedy answers in float32, and how many are equal token for token.
        texts, same_ids: texts, and how many the exported tokenizer gives the same ids; None where
            the plain library can't read the tokenizer.
        losses: of exports that go on training: the first losses beside those of the run.
        notes: what a person should know of this form.
        versions: of the libraries that loaded it.
        policy_hash, reference_hash: SHA-256 of the trained weights and of those before the run.
        line: all of it in one line, for the screen.
    """

    to: str
    folder: str = ""
    dtype: str = "float32"
    largest: float = 0.0
    tolerance: float = 0.0
    in_float32: float = 0.0
    tokens: int = 0
    rows: str = ""
    answers: int = 0
    equal: int = 0
    texts: int = 0
    same_ids: int | None = None
    losses: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    policy_hash: str = ""
    reference_hash: str = ""
    line: str = ""

    def __str__(self) -> str:
        return self.line

    def as_dict(self) -> dict[str, Any]:
        """As certificate.json holds it."""
        return asdict(self)


def certify(
    contents: Contents, policy: Policy, job: dict[str, Any], found: Certificate
) -> Certificate:
    """Fill in the certificate of the model that `job` names.

    Args:
        policy: what is exported; it is compared as it is, adapters unmerged.
        job: the keys of templates/certify.py that name files.

    Raises:
        CertificateError: it can't be loaded, or does not give the same.
    """
    ours = _ours(policy, contents)
    theirs = run_alone(TEMPLATES / "certify.py", given={**job, **ours["job"]})
    found.versions, found.tolerance = theirs["versions"], TOLERANCES[found.dtype]
    found.rows = "held-out rows" if contents.held_out else "training rows (none are held out)"
    found.tokens = sum(map(len, ours["float64"]))
    found.largest = _largest(ours["float64"], theirs["float64"])
    found.in_float32 = _largest(ours["float32"], theirs["float32"])
    found.answers, found.equal = len(ours["answers"]), _same(ours["answers"], theirs["answers"])
    found.texts = len(ours["ids"])
    found.same_ids = _same(ours["ids"], theirs["ids"]) if "ids" in theirs else None
    found.line = _line(found)
    stop = theirs["stop"]
    stop = {stop} if isinstance(stop, int) else set(stop or ())
    whole = found.dtype == "float32"  # rounded weights may well give another answer
    as_written = _same(ours["ids"], theirs.get("as_written") or [None] * found.texts)
    if found.same_ids != found.texts == as_written and "gguf" not in job:
        found.notes.append(OTHER_TOKENIZER)
    read_alike = "gguf" in job or found.texts in (found.same_ids, as_written)
    wrong = {
        "the process had the workbench loaded": not theirs["alone"],
        "log-probabilities differ": not found.largest <= found.tolerance,
        "greedy answers differ": whole and found.equal < found.answers,
        "end tokens differ": stop != set(contents.tokenizer.stop_ids),
        f"the tokenizer differs ({theirs.get('unread', 'other ids')})": not read_alike,
    }
    if reasons := [reason for reason, so in wrong.items() if so]:
        raise CertificateError(
            f"the export to {found.to} is not the trained model, and is deleted: "
            f"{', '.join(reasons)}; {found}"
        )
    return found


def _line(found: Certificate) -> str:
    by = next(f"{name} {number}" for name, number in found.versions.items())
    alike = f"{found.same_ids} of {found.texts} texts tokenised alike"
    return (
        f"loaded by {by} alone: log-probabilities differ by {found.largest:.1e} nats at most "
        f"(accepted {found.tolerance:g}; {found.in_float32:.1e} in float32) over {found.tokens} "
        f"tokens of {found.rows}; {found.equal} of {found.answers} greedy answers equal; "
        + ("the tokenizer is not readable there" if found.same_ids is None else alike)
    )


def _largest(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """The largest difference; infinite where one is no number."""
    rows = zip(ours, theirs, strict=True)
    differences = [abs(a - b) for row in rows for a, b in zip(*row, strict=True)]
    return max(math.inf if math.isnan(value) else value for value in differences)


def _same(ours: Sequence[Any], theirs: Sequence[Any]) -> int:
    return sum(one == other for one, other in zip(ours, theirs, strict=True))


@torch.no_grad()
def _ours(policy: Policy, contents: Contents) -> dict[str, Any]:
    """What the policy gives, and the part of the job that asks for the same."""
    tokenizer, prompts = contents.tokenizer, contents.prompts
    most = min(policy.max_length - max(map(len, prompts)), MOST)
    sampling = SamplingConfig(temperature=0.0, max_new_tokens=most)
    with model_lock():
        answers = generate(
            policy, prompts, sampling, tokenizer.stop_ids, tokenizer.pad_id, keep_end=True
        )
        # Where the policy writes the completions itself, the rows have none.
        rows = contents.rows or list(zip(prompts, map(tuple, answers), strict=True))
        batches = [collate_sequences([row], tokenizer.pad_id) for row in rows]
        exact = copy.deepcopy(policy).double().cpu()
    device = next(policy.parameters()).device
    exact.kernels = PLAIN
    texts, completions = contents.texts
    message = tokenizer.chat_template is not None
    asked = [
        *({"text": text, "message": message, "specials": True} for text in texts),
        *({"text": text, "message": False, "specials": False} for text in completions),
    ]
    return {
        "answers": answers,
        "float32": [policy(batch.to(device)).values.tolist() for batch in batches],
        "float64": [exact(batch).values.tolist() for batch in batches],
        "ids": [*map(tokenizer.render_prompt, texts), *map(tokenizer.encode, completions)],
        "job": {
            "rows": rows, "prompts": prompts, "most": most, "pad": tokenizer.pad_id,
            "texts": asked,
        },
    }  # fmt: skip


def run_alone(script: Path, *arguments: str, given: Any = None) -> Any:
    """What a script writes as JSON to the file that its last argument names.

    It runs in a process of its own, on the processor and without a network, and reads `given` as
    JSON from its input.

    Raises:
        CertificateError: it fails, with the last line of what it said.
    """
    environment = {
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "TRANSFORMERS_VERBOSITY": "error",
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin are slow where anything else runs
    }
    with TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        ran = subprocess.run(
            [sys.executable, "-P", str(script), *arguments, str(found)],
            input=json.dumps(given),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=os.environ | environment,
        )
        if ran.returncode or not found.exists():
            last = (ran.stderr.strip().splitlines() or ["no message"])[-1][:300]
            raise CertificateError(f"what was exported does not run, and is deleted: {last}")
        return json.loads(found.read_text(encoding="utf-8"))
