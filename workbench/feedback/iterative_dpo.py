"""Iterative DPO: in every round the policy answers, answers are voted on, and the votes train it.

Every round trains on pairs sampled from its own policy (Xu et al. 2023; Yuan et al. 2024, with
models as voters). The reference of a round is the policy at its start: the pairs are samples of it,
and the data hold no information outside of its support. So the KL penalty starts again at 0 in each
round. At the optimum, n rounds on the same true reward equal one round with beta / n, since pi_n is
proportional to pi_0 exp(n r / beta); and the implicit rewards of all rounds add up to
beta (log pi_n - log pi_0). With the first policy as the reference of every round, the penalty would
remain that of a single round.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from workbench.compare.handle_sources import handles
from workbench.compare.model_handles import ModelHandle
from workbench.data.pairs import PairFile, write_jsonl
from workbench.errors import WorkbenchError
from workbench.feedback.kept_training import folder_for, open_kept
from workbench.feedback.questions import QuestionSet, Voter, agreement, make_questions
from workbench.feedback.round_scores import round_scores
from workbench.feedback.votes import Vote, append_vote, open_votes, read_votes, votes_to_pairs
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import LENGTH, shown_sampling
from workbench.models.load import Model
from workbench.models.lora import has_lora, merge_lora
from workbench.runs.evaluate import TextScores
from workbench.runs.folder.kept_runs import read_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.precision import pick_device, pick_precision

MINIMUM = 8  # votes for a or b that a round needs for training
AGAINST = ("itself", "reference")
PROMPTS = 40  # used where none are given
# Defaults here: a few dozen pairs are too few for a held-out part or large batches.
FEW_PAIRS: dict[str, Any] = {"held_out": 0, "samples": 0, "batch_size": 8}


class IterativeDPO:
    """A policy that is trained on votes, round by round.

    Args:
        config: how to train. By default nothing is held out and a batch has 8 pairs; `data` becomes
            the pairs of the votes. The run of each round is kept in a folder of its own within
            `out`, by default next to the votes: made again after a kill, rounds go on from there.
        base: the first policy; it is copied and not changed.
        prompts: each is answered twice per round; repeat a prompt for more answers.
        file: JSONL of the votes; the pairs of round n are written next to it.
        against: "itself" for two samples of the policy, or "reference" for the first policy.
        sampling: how answers are sampled; by default at temperature 1 for numbers, and for votes as
            the model's makers recommend (at 1 where that is greedy and one model gives both).
        seed: of answers and sides.
        scores: (prompt, text) -> the true scores, `reward` among them, where they are known.

    Attributes:
        number: how many rounds were trained.
        rows: one per round, see `frame`.
        model: the current policy.
        origin, start: handles of the policy before all rounds, and before the last one.
    """

    def __init__(
        self,
        config: TrainConfig,
        base: Model,
        prompts: Sequence[str],
        file: str | Path,
        against: str = "itself",
        sampling: SamplingConfig | None = None,
        seed: int = 0,
        scores: TextScores | None = None,
    ) -> None:
        if against not in AGAINST:
            raise WorkbenchError(f"against={against!r} is unknown; accepted: {', '.join(AGAINST)}")
        if not prompts:
            raise WorkbenchError("prompts is empty; at least one is needed")
        self.file = open_votes(file)
        self.folder = Path(config.out or self.file.with_name(f"{self.file.stem}-rounds"))
        unset = {name: value for name, value in FEW_PAIRS.items() if getattr(config, name) is None}
        self.config = replace(config, **unset)
        self.prompts, self.against, self.seed = list(prompts), against, seed
        filled = config.resolved()
        shown = shown_sampling(base.policy, config.shown_temperature, filled.shown_length or LENGTH)
        greedy = against == "itself" and shown.temperature == 0  # the two answers have to differ
        self.sampling = sampling or (replace(shown, temperature=1.0) if greedy else shown)
        self._measured = sampling or SamplingConfig(max_new_tokens=filled.max_new_tokens or 40)
        self.model = replace(base, policy=copy.deepcopy(base.policy))
        if has_lora(self.model.policy):
            merge_lora(self.model.policy)
        self.number, self._scores = 0, scores
        self.origin = self.start = replace(self.policy, name="reference")
        self._facts: dict[str, Any] = {}  # about this round's votes, from before its training
        self.rows: list[dict[str, Any]] = [{"round": 0, **self._evaluate()}]

    @classmethod
    def after(
        cls, run: Run, file: str | Path, prompts: Sequence[str] = (), seed: int = 0
    ) -> IterativeDPO:
        """Continue from a run: a copy of its policy answers against its reference.

        Trained as the run was, with nothing held out and at most 8 pairs per batch. By default the
        prompts of the run are answered.
        """
        reference, _ = handles(run)
        size = min(run.config.batch_size or FEW_PAIRS["batch_size"], FEW_PAIRS["batch_size"])
        config = replace(run.config, out=None, held_out=0, samples=0, batch_size=size)
        prompts = prompts or [pair.prompt for pair in run.data.prompts(PROMPTS)]
        rounds = cls(config, run.model, prompts, file, "reference", None, seed, run.data.scores)
        rounds.origin = rounds.start = reference
        return rounds

    @property
    def policy(self) -> ModelHandle:
        """The current policy; a round makes a new one and does not change it."""
        policy = self.model.policy
        device = pick_device(self.config.device)
        precision = pick_precision(self.config.precision, device, policy)
        return ModelHandle("policy", policy.to(device), self.model.tokenizer, device, precision)

    def ask(self) -> QuestionSet:
        """The questions of this round; always the same for the same policy and seed."""
        second = self.policy if self.against == "itself" else self.origin
        return make_questions(
            self.policy, second, self.prompts, self.sampling, self.seed, self.number
        )

    def pairs(self) -> PairFile:
        """The pairs of this round's votes so far."""
        return votes_to_pairs(self.file, self.number)

    def frame(self) -> pd.DataFrame:
        """One row per trained round, and row 0 for the policy before all rounds.

        `round`; `pairs` for training and votes `skipped`; `agreement` of the implicit reward of all
        earlier rounds with this round's votes, which it was not trained on. With true scores also
        the share of votes for the truly better answer (`right`), the mean of each score over
        answers after the round, and the share of these that beat the answers of the policy at the
        round's start (`win_rate`, 95% interval `low` to `high`) and of the first policy
        (`win_rate_first`), ties counted one half.
        """
        return pd.DataFrame(self.rows)

    def begin(self, progress: Progress | None = None) -> Run:
        """A run of a copy of the policy on this round's votes; iterate it, then `adopt` it.

        One that was interrupted on the same votes goes on, one that has finished is read.

        Raises:
            WorkbenchError: fewer usable votes than `MINIMUM`, or another process trains this round.
        """
        votes = self.pairs()
        if len(votes.pairs) < MINIMUM:
            raise WorkbenchError(
                f"round {self.number} has {len(votes.pairs)} votes for A or B that can be trained "
                f"on; {MINIMUM} at least are needed"
            )
        config, folder = self._kept(votes)
        self._facts = self._facts_of(votes)
        model = replace(self.model, policy=copy.deepcopy(self.model.policy))
        return open_kept(config, model, folder, progress)

    def catch_up(self, progress: Progress | None = None) -> None:
        """Take over the rounds that were trained already on the votes in the file."""
        while len((votes := self.pairs()).pairs) >= MINIMUM:
            if read_run(self._kept(votes)[1]).state != "finished":
                break
            self.train(progress)

    def _kept(self, votes: PairFile) -> tuple[TrainConfig, Path]:
        """Settings and folder of the run on these votes; their pairs are written."""
        path = self.file.with_name(f"{self.file.stem}-round-{self.number}.jsonl")
        write_jsonl(votes.pairs, path)
        config = replace(self.config, data=str(path))
        return config, folder_for(config, self.model, self.folder, f"round-{self.number}")

    def adopt(self, run: Run) -> None:
        """Take the policy of a finished run for the next round."""
        if not run.finished:
            raise WorkbenchError(f"the run is at step {run.step} of {run.total}; let it finish")
        self.start = replace(self.policy, name="round's start")
        if has_lora(run.policy):
            merge_lora(run.policy)
        self.model = run.model
        self.number += 1
        self.rows.append({"round": self.number, **self._facts, **self._evaluate()})

    def train(self, progress: Progress | None = None) -> Run:
        """One whole round of training on the present votes."""
        run = self.begin(progress)
        for _ in run:
            if progress is not None:
                progress(f"training round {self.number}", run.step / max(1, run.total))
        self.adopt(run)
        return run

    def _facts_of(self, voted: PairFile) -> dict[str, Any]:
        """Facts about this round's votes, before any training on them; see `frame`."""
        votes = [vote for vote in read_votes(self.file) if vote.round == self.number]
        facts: dict[str, Any] = {"pairs": len(voted.pairs), "skipped": len(voted.skipped)}
        trained = self.origin.model is not self.model.policy
        facts["agreement"] = agreement(self.policy, self.origin, votes) if trained else math.nan
        if self._scores is not None:
            rewards = [
                [self._scores(pair.prompt, text)["reward"] for text in (pair.chosen, pair.rejected)]
                for pair in voted.pairs
            ]
            differing = [chosen > rejected for chosen, rejected in rewards if chosen != rejected]
            facts["right"] = fmean(differing) if differing else math.nan
        return facts

    def _evaluate(self) -> dict[str, float]:
        """True scores of the policy's answers, where they are known; see `round_scores`."""
        if self._scores is None:
            return {}
        models = [self.policy, self.start, self.origin][: 3 if self.number else 1]
        return round_scores(
            models, self.prompts, replace(self._measured, seed=self.seed), self._scores
        )


def iterate(
    rounds: IterativeDPO, voter: Voter, count: int, progress: Progress | None = None
) -> Iterator[pd.DataFrame]:
    """`count` rounds with a simulated voter; yields `IterativeDPO.frame` after each."""
    for _ in range(count):
        voted = {vote.key for vote in read_votes(rounds.file)}
        for question in rounds.ask().questions:
            if question.key not in voted:
                append_vote(rounds.file, Vote.cast(question, voter(question)))
        rounds.train(progress)
        yield rounds.frame()
