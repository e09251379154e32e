"""Rounds of votes and a constitution killed at any instant: does the same call end the same?

    python -m benchmarks.faults rounds [--count N] [--seed N]

Processes are killed with SIGKILL: half of them right before or after one of their writes to disk,
half at a random time; every third one again while it goes on. Then the same call is made once more,
and its result has to be that of a process that nobody killed, to the last bit: weights, votes,
pairs, tables. No vote or reply may be asked again that was on disk, no step be trained again that a
checkpoint holds, and no more than the steps between two checkpoints be lost. Needs `os.fork`, which
Windows lacks.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.feedback.constitution.chat_critic import ChatCritic
from workbench.feedback.constitution.chats import GrammarWriter, Remembered
from workbench.feedback.constitution.feedback_pairs import feedback
from workbench.feedback.constitution.journal import Journal
from workbench.feedback.constitution.labelling import label
from workbench.feedback.constitution.principles import PRINCIPLES
from workbench.feedback.constitution.revising import revise
from workbench.feedback.constitution.training import train_on_feedback
from workbench.feedback.iterative_dpo import IterativeDPO, iterate
from workbench.feedback.questions import simulated_voter
from workbench.feedback.votes import Question, read_votes
from workbench.models.load import Model, model_hash
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig

WORLD = Reviews(ReviewsConfig(topics=4, pairs=64))
CONFIG = TrainConfig(
    world=WORLD.config, epochs=2, batch_size=4, lr=1e-3, max_new_tokens=8, checkpoint_every=2
)
ASKED, STEPS, RESULT, ERROR = "asked.txt", "steps.txt", "result.json", "error.txt"


def small_model() -> Model:
    """Of some thousand weights, not trained."""
    shape = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
    return new_model(WORLD, shape)


def note(path: Path, text: str) -> None:
    """One more line, in one write: a kill of the process does not undo it."""
    with path.open("ab", buffering=0) as file:
        file.write(text.encode() + b"\n")


# -- the two jobs ---------------------------------------------------------------------------------


def rounds_of_votes(folder: Path) -> dict[str, Any]:
    """Two rounds of answering, voting and training."""
    voter = simulated_voter(lambda prompt, text: WORLD.reward(text))

    def noted(question: Question) -> str:
        note(folder / ASKED, repr((question.prompt, question.a, question.b)))
        return voter(question)

    rounds = IterativeDPO(CONFIG, small_model(), WORLD.prompts[:12], folder / "votes.jsonl")
    *_, frame = iterate(rounds, noted, 2)
    return {
        "weights": model_hash(rounds.model.policy),
        "table": frame.to_json(),
        "votes": [(vote.prompt, vote.a, vote.b, vote.vote) for vote in read_votes(rounds.file)],
        "pairs": [path.read_text("utf-8") for path in sorted(folder.glob("votes-round-*.jsonl"))],
    }


class Critic:
    """Answers by the words of the answer; what it is asked is noted."""

    name = "critic"

    def __init__(self, path: Path) -> None:
        self.path, self.identity = path, {"model": self.name}

    def replies(self, texts: Sequence[str], seed: int) -> Iterator[tuple[int, Any]]:
        for index, text in enumerate(texts):
            note(self.path, f"reply {seed} {text!r}")
            yield index, "the plot was good." if "Rewrite" in text else "Yes, it is too long."

    def chances(
        self, texts: Sequence[str], options: tuple[str, str], seed: int
    ) -> Iterator[tuple[int, Any]]:
        for index, text in enumerate(texts):
            note(self.path, f"chance {seed} {text!r}")
            yield index, (len(text) % 7) / 7

    def stream(self, text: str, seed: int) -> Iterator[str]:
        yield from ()


def constitution(folder: Path) -> dict[str, Any]:
    """Answers criticised, revised and labelled, and a model trained on the pairs."""
    journal = Journal(folder / "journal.jsonl")
    critic = ChatCritic(Remembered(Critic(folder / ASKED), journal))
    writer = Remembered(GrammarWriter(WORLD), journal)
    records = [
        record
        for way in (revise, label)
        for record in way(WORLD.prompts[:12], PRINCIPLES, writer, critic, 0)
    ]
    base, found = small_model(), feedback(records)
    config = TrainConfig(**{**vars(CONFIG), "out": str(folder / "run")})
    scores = {"reward": lambda prompt, text: WORLD.reward(text)}
    table = train_on_feedback(found.pairs, config, WORLD.prompts[:4], scores, base)
    return {
        "weights": model_hash(base.policy),
        "table": table.to_json(),
        "pairs": (folder / "run" / "pairs.jsonl").read_text("utf-8"),
        "counts": found.counts,
    }


# -- processes, and kills -------------------------------------------------------------------------


def start(work: Callable[[Path], Any], folder: Path, kill_at: int = -1) -> int:
    """A process that works in the folder; it kills itself at this write to disk. Its number."""
    if process := os.fork():
        return process
    try:
        count = iter(range(10**9))
        register_optimizer_step_post_hook(lambda *_: note(folder / STEPS, "step"))
        for name in ("fsync", "replace"):
            setattr(os, name, deadly(getattr(os, name), count, kill_at))
        result = work(folder) | {"writes": next(count)}
        (folder / RESULT).write_text(json.dumps(result), "utf-8")
    except BaseException as error:
        (folder / ERROR).write_text(repr(error), "utf-8")
    finally:
        os._exit(0)


def deadly(call: Callable[..., Any], count: Iterator[int], at: int) -> Callable[..., Any]:
    """`call`, which ends the process before number `at` / 2, or after it where `at` is odd."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        number = next(count)
        if 2 * number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments, **named)
        if 2 * number + 1 == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def end(process: int, after: float | None = None) -> bool:
    """Wait for a process, killing it `after` these seconds; whether it was killed."""
    begin = time.monotonic()
    while True:
        done, status = os.waitpid(process, os.WNOHANG if after is not None else 0)
        if done:
            return os.WIFSIGNALED(status)
        if after is not None and time.monotonic() - begin > after:
            os.kill(process, signal.SIGKILL)
            after = None
        time.sleep(0.001)


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")[:-1] if path.exists() else []


def kept_steps(folder: Path) -> int:
    """Steps that the newest checkpoints of all runs hold."""
    newest: dict[Path, int] = {}
    for path in folder.rglob("checkpoints/step-*"):
        step = int(path.name.removeprefix("step-"))
        newest[path.parent] = max(newest.get(path.parent, 0), step)
    return sum(newest.values())


def killed(
    work: Callable[[Path], Any], whole: Mapping[str, Any], rng: random.Random, number: int
) -> list[str]:
    """Kill a process, or two, and call the same again; what goes wrong."""
    with TemporaryDirectory() as name:
        folder, wrong, kept, kills, taken = Path(name), list[str](), 0, 0, 0
        for last in (False, True) if number % 3 else (False, False, True):
            by_time = number % 2 and not last
            at = -1 if by_time or last else rng.randrange(2 * whole["writes"])
            after = rng.uniform(0, whole["seconds"]) if by_time else None
            kills += end(start(work, folder, at), after)
            steps, held = len(lines(folder / STEPS)) - taken, kept_steps(folder) - kept
            if steps > whole["steps"] - kept:
                wrong.append(f"{kept} of {whole['steps']} steps were kept, {steps} more taken")
            if steps - held > CONFIG.checkpoint_every:
                wrong.append(f"{steps} steps taken, {held} kept")
            taken, kept = taken + steps, kept + held
        if (folder / ERROR).exists():
            return [*wrong, (folder / ERROR).read_text("utf-8")]
        found = json.loads((folder / RESULT).read_text("utf-8"))
        wrong += [part for part in whole["same"] if found[part] != whole["same"][part]]
        asked = lines(folder / ASKED)
        if len(asked) > len(set(asked)) + kills or set(asked) != set(whole["asked"]):
            wrong.append(f"asked {len(asked)} times for {len(set(asked))}, killed {kills} times")
        return wrong


def undisturbed(work: Callable[[Path], Any]) -> dict[str, Any]:
    """What the job gives when nobody kills it."""
    with TemporaryDirectory() as name:
        folder, begin = Path(name), time.monotonic()
        end(start(work, folder))
        if (folder / ERROR).exists():
            raise RuntimeError((folder / ERROR).read_text("utf-8"))
        same = json.loads((folder / RESULT).read_text("utf-8"))
        return {
            "writes": same.pop("writes"), "seconds": time.monotonic() - begin, "same": same,
            "steps": len(lines(folder / STEPS)), "asked": lines(folder / ASKED),
        }  # fmt: skip


def run(kills: int, seed: int, tell: Callable[[str], None]) -> int:
    """The number of kills after which the result was another; each is told."""
    torch.set_num_threads(1)  # so that this process can be forked
    bad = 0
    for work in (rounds_of_votes, constitution):
        with TemporaryDirectory() as name:
            work(Path(name))  # all that is imported only when it is used
        whole = undisturbed(work)
        tell(f"{work.__name__}: {whole['steps']} steps, {whole['writes']} writes")
        for number in range(kills // 2):
            wrong = killed(work, whole, random.Random(f"{seed} {number}"), number)
            bad += bool(wrong)
            for problem in wrong:
                tell(f"{work.__name__}, kill {number}: {problem}")
    tell(f"{2 * (kills // 2)} kills, {bad} with another result")
    return bad
