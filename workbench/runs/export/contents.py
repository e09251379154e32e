"""What of a run is exported: its language model, and rows and prompts to compare it by."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash
from workbench.models.lora import has_lora, merge_lora
from workbench.runs.prepare import open_model
from workbench.runs.run import Run

ITEMS, PROMPTS = 8, 8  # held-out items whose tokens are scored, prompts that are answered


Row = tuple[tuple[int, ...], tuple[int, ...]]  # token ids of a prompt and a completion


class Contents:
    """The parts of a run that exports take.

    Attributes:
        run: that is exported.
        policy: its language model as it is, adapters and all.
        held_out: whether the rows were held out from training.

    Raises:
        WorkbenchError: no language model is trained, or one that only its own library reads.
    """

    def __init__(self, run: Run) -> None:
        if not run.policy.generates:
            raise WorkbenchError(
                f"a run of method {run.method.name} can't be exported: it trains a scalar head, "
                "not a language model; accepted: runs of the other methods"
            )
        self.run, self.policy = run, run.policy.language_model
        if self.policy.checkpoint_format not in ("llama", "transformers"):
            raise WorkbenchError(
                f"this run trains a {type(self.policy).__name__} ({self.policy.checkpoint_format}),"
                " which no other tool loads; accepted: Llama and models of transformers"
            )
        self.held_out = bool(run.data.held_out)
        self._items = run.data.held_out or run.data.train

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which reads names of special tokens as those tokens, as every
        other library does."""
        return self.run.tokenizer.allowing_special()

    @property
    def adapted(self) -> bool:
        """Whether low-rank adapters are trained."""
        return has_lora(self.policy)

    @property
    def model(self) -> Model:
        """The trained model as it is, adapters and all."""
        return replace(self.run.model, policy=self.policy, tokenizer=self.tokenizer)

    @cached_property
    def merged(self) -> Model:
        """The trained model with plain weights."""
        policy = self.policy
        if self.adapted:
            policy = copy.deepcopy(policy)
            merge_lora(policy)
        return replace(self.model, policy=policy)

    @cached_property
    def base(self) -> Model:
        """The model that the run started from, read again.

        Raises:
            WorkbenchError: it is no longer the model that the run started from.
        """
        model, wanted = open_model(self.run.config), self.run.reference_hash
        if (found := model_hash(model.policy)) != wanted:
            raise WorkbenchError(
                f"the run started from a model with hash {wanted[:12]}, but "
                f"{self.run.config.model} has {found[:12]}; give it back, or export to hf"
            )
        return replace(model, tokenizer=self.tokenizer)

    @cached_property
    def rows(self) -> list[Row]:
        """Prompts with completions; none where the policy writes the completions itself."""
        return [row for item in self._items[:ITEMS] for row in rows_of(item)]

    @cached_property
    def prompts(self) -> list[tuple[int, ...]]:
        """Different prompts, as many as are answered."""
        return list(islice(dict.fromkeys(tuple(item.prompt) for item in self._items), PROMPTS))

    @cached_property
    def texts(self) -> tuple[list[str], list[str]]:
        """Prompts and completions as texts; no prompts of several turns, which are no one text."""
        data = self.run.data
        rows = [self.run.method.columns(t) for t in data.held_out_texts or data.train_texts]
        names = [name for name in ("chosen", "rejected", "completion") if name in rows[0]]
        known = self.tokenizer.known
        prompts = dict.fromkeys(row["prompt"] for row in rows if row["prompt"] not in known)
        return list(islice(prompts, PROMPTS)), [row[n] for row in rows[:ITEMS] for n in names]


def rows_of(item: Any) -> list[Row]:
    """Those of a pair, or of a completion."""
    sides = [getattr(item, name, ()) for name in ("chosen", "rejected", "completion")]
    return [(tuple(item.prompt), tuple(side)) for side in sides if side]
