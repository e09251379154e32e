"""The command `constitution`: preference pairs from principles, into a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from workbench.cli.command_settings import Constitution
from workbench.cli.terminal import progress, say, show_json, show_table
from workbench.compare.handle_sources import open_handles
from workbench.compare.judging.endpoint import Endpoint
from workbench.data.json_rows import read_json_rows, write_json
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.chat_critic import ChatCritic
from workbench.feedback.constitution.chats import (
    Chat,
    EndpointChat,
    GrammarWriter,
    LocalChat,
    Remembered,
)
from workbench.feedback.constitution.critics import Answered, Critic, RuleCritic
from workbench.feedback.constitution.feedback_pairs import Feedback, feedback, write_feedback
from workbench.feedback.constitution.journal import Journal
from workbench.feedback.constitution.labelling import Label, label
from workbench.feedback.constitution.principles import PRINCIPLES, read_principles
from workbench.feedback.constitution.revising import Revision, check_prompts, revise
from workbench.generation.config import SamplingConfig
from workbench.paths import folder_to_write
from workbench.train.base_model import Progress

PAIRS, JOURNAL, SUMMARY = "pairs.jsonl", "journal.jsonl", "summary.json"


def constitution(command: Constitution) -> None:
    """Make the pairs, write them, and print what came of it."""
    try:
        with progress(to_stderr=command.json) as (bar, task):

            def tell(text: str, share: float) -> None:
                bar.update(task, description=text, completed=share, total=1)

            found = _make(command, tell)
    except KeyboardInterrupt:
        kept = "stopped; all replies are kept, the same command goes on where it stopped"
        print(kept, file=sys.stderr)
        raise
    path = command.out / PAIRS
    write_feedback(found.pairs, path)
    skipped = [{"answer": row.row, "reason": row.reason} for row in found.skipped]
    summary = {"file": str(path), "counts": found.counts, "skipped": skipped}
    write_json(command.out / SUMMARY, summary)
    if command.json:
        show_json(summary)
        return
    show_table(dict(found.counts), str(command.out))
    say(f"written: {path}")


def _make(command: Constitution, tell: Progress) -> Feedback:
    # All that can be wrong is found out before anything is loaded or paid for.
    folder_to_write(command.out, "out")
    for role, wrong in {"writer": "rules", "critic": "grammar"}.items():
        if getattr(command, role) == wrong:
            raise WorkbenchError(f"{role}={wrong!r} is not accepted: it is no {role}; see --help")
    prompts = list(islice(cycle(_prompts(command.prompts)), command.count))
    principles = read_principles(command.principles) if command.principles else PRINCIPLES
    if command.critic == "rules":
        RuleCritic().critiques([Answered(prompts[0], "", principle) for principle in principles])
    endpoint = _endpoint(command) if "endpoint" in (command.writer, command.critic) else None
    journal = Journal(command.out / JOURNAL)
    tell("loading", 0.0)
    chats = {
        name: Remembered(_chat(name, command, endpoint, tell), journal)
        for name in dict.fromkeys((command.writer, command.critic))
        if name != "rules"
    }
    critic: Critic = RuleCritic()
    if command.critic != "rules":
        critic = ChatCritic(chats[command.critic], command.tries)
    writer = chats[command.writer]
    records: list[Revision | Label] = []
    kinds: list[Callable[..., Iterator[Revision | Label]]] = [revise, label]
    if command.kind != "both":
        kinds = [revise] if command.kind == "revision" else [label]
    for kind in kinds:
        for record in kind(prompts, principles, writer, critic, command.seed):
            records.append(record)
            share = len(records) / (len(prompts) * len(kinds))
            tell("critiques and revisions" if kind is revise else "choices", share)
    return feedback(records)


def _prompts(source: str) -> list[str]:
    """The prompts of the reviews world, or the different ones of a file."""
    if source == "reviews":
        return list(Reviews().prompts)
    prompts = []
    for number, row in enumerate(read_json_rows(Path(source)), start=1):
        prompt = row.get("prompt") if isinstance(row, dict) else row
        if not isinstance(prompt, str):
            raise WorkbenchError(
                f"{source}: row {number} holds no prompt; accepted: a text, or an object with one "
                "as its prompt"
            )
        prompts.append(prompt)
    check_prompts(prompts)
    return list(dict.fromkeys(prompts))


def _endpoint(command: Constitution) -> Endpoint:
    return Endpoint.from_environment(options={"temperature": command.temperature})


def _chat(name: str, command: Constitution, endpoint: Endpoint | None, tell: Progress) -> Chat:
    if name == "endpoint":
        assert endpoint is not None
        return EndpointChat(endpoint)
    if name == "grammar":
        return GrammarWriter()
    sampling = SamplingConfig(
        temperature=command.temperature, max_new_tokens=command.max_new_tokens
    )
    return LocalChat(open_handles(name, tell)[-1], sampling)
