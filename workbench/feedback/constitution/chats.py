"""Who writes: a local chat model, a model behind an address, or the grammar of the reviews.

A chat takes texts and gives replies, as they come. `Remembered` puts a journal in front of it.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Thread
from typing import Any, Protocol

import torch

from workbench.compare.judging.endpoint import Endpoint
from workbench.compare.model_handles import ModelHandle
from workbench.data.reviews import grammar
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.journal import Journal
from workbench.generation.config import SamplingConfig
from workbench.models.load import model_hash

AT_ONCE = 8  # texts that a local model answers together

Replies = Iterator[tuple[int, Any]]
"""(index of the text, value), each as soon as it is there."""


class Chat(Protocol):
    """Answers texts.

    Attributes:
        name: for people.
        identity: all that its replies depend on besides text and seed; a journal tells models apart
            by it.
    """

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> Mapping[str, Any]: ...

    def replies(self, texts: Sequence[str], seed: int) -> Replies:
        """One reply per text; the same text twice may get the same reply."""

    def chances(self, texts: Sequence[str], options: tuple[str, str], seed: int) -> Replies:
        """The probability of the first of two replies, 0 to 1; None where neither came."""

    def stream(self, text: str, seed: int) -> Iterator[str]:
        """The reply so far, step by step."""


@dataclass(frozen=True)
class LocalChat:
    """A model on this machine: SmolLM2, any chat model of the hub, or a policy in training.

    A reply depends on the text and the seed only, not on the texts beside it.

    Attributes:
        handle: the model; it must not be trained meanwhile.
        sampling: how replies are sampled; the seed is that of the call.
    """

    handle: ModelHandle
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    @property
    def name(self) -> str:
        return self.handle.name

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        settings = {name: value for name, value in vars(self.sampling).items() if name != "seed"}
        return {"model": self.name, "hash": model_hash(self.handle.model)[:16], **settings}

    def replies(self, texts: Sequence[str], seed: int) -> Replies:
        sampling = replace(self.sampling, seed=seed)
        for start in range(0, len(texts), AT_ONCE):
            # A text that comes twice in one call would be sampled with other noise.
            batch = list(dict.fromkeys(texts[start : start + AT_ONCE]))
            found = dict(zip(batch, self.handle.answer(batch, sampling), strict=True))
            for index, text in enumerate(texts[start : start + AT_ONCE], start):
                yield index, found[text].strip()

    def chances(self, texts: Sequence[str], options: tuple[str, str], seed: int) -> Replies:
        """Of the first token of either option, as in the paper; always there, and not sampled."""
        tokenizer = self.handle.tokenizer
        first, second = (tokenizer.encode(option)[0] for option in options)
        for index, text in enumerate(texts):
            (logps,) = self.handle.next_logps(tokenizer.render_prompt(text), [first])
            yield index, torch.sigmoid(logps[first] - logps[second]).item()

    def stream(self, text: str, seed: int) -> Iterator[str]:
        for (reply,) in self.handle.stream([text], replace(self.sampling, seed=seed)):
            yield reply


@dataclass(frozen=True)
class EndpointChat:
    """A model behind an OpenAI-compatible address.

    The server samples by itself: the seed is not sent, so at temperature 0 asking again helps
    little. An error, or the first Ctrl-C, comes once all replies that are on their way have been
    given out; a second Ctrl-C at once.
    """

    endpoint: Endpoint

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def identity(self) -> Mapping[str, Any]:
        endpoint = self.endpoint
        return {"model": endpoint.model, "url": endpoint.url, **endpoint.options}

    def replies(self, texts: Sequence[str], seed: int) -> Replies:
        parallel = max(1, self.endpoint.parallel)
        waiting = deque(range(len(texts)))
        running: dict[Future[str], int] = {}
        failure: BaseException | None = None
        while running or (waiting and failure is None):
            # The next request goes out once a reply has been taken: so a process that is killed
            # loses no more replies than there are requests at the same time.
            while waiting and failure is None and len(running) < parallel:
                index = waiting.popleft()
                running[self._sent(texts[index])] = index
            try:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt as interrupt:
                if isinstance(failure, KeyboardInterrupt):
                    raise
                failure = interrupt
                continue
            for request in done:
                index = running.pop(request)
                if (error := request.exception()) is None:
                    yield index, request.result().strip()
                else:
                    failure = failure or error
        if failure is not None:
            raise failure

    def _sent(self, text: str) -> Future[str]:
        """A request on its way, in a thread that an ending process does not wait for."""
        request: Future[str] = Future()

        def ask() -> None:
            try:
                request.set_result(self.endpoint.chat([("user", text)]))
            except BaseException as error:  # it comes up where the result is taken
                request.set_exception(error)

        Thread(target=ask, daemon=True).start()
        return request

    def chances(self, texts: Sequence[str], options: tuple[str, str], seed: int) -> Replies:
        """1 or 0, or None for a reply that does not begin with one of the options."""
        for index, reply in self.replies(texts, seed):
            found = re.match(rf"\W*({'|'.join(map(re.escape, options))})\b", reply)
            yield index, None if found is None else float(found[1] == options[0])

    def stream(self, text: str, seed: int) -> Iterator[str]:
        for _, reply in self.replies([text], seed):
            yield reply


@dataclass(frozen=True)
class GrammarWriter:
    """Reviews from the grammar of the reviews world: good, mixed and bad alike. Writes only."""

    world: Reviews = field(default_factory=Reviews)
    name: str = "grammar"

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"model": self.name}

    def replies(self, texts: Sequence[str], seed: int) -> Replies:
        for index, prompt in enumerate(texts):
            rng = random.Random(f"{seed} {prompt}")
            yield index, grammar.write_review(self.world.topic_of(prompt), rng)

    def chances(self, texts: Sequence[str], options: tuple[str, str], seed: int) -> Replies:
        raise WorkbenchError("the grammar of the reviews writes; it can't be a critic")

    def stream(self, text: str, seed: int) -> Iterator[str]:
        for _, reply in self.replies([text], seed):
            yield reply


@dataclass(frozen=True)
class Remembered:
    """A chat with a journal in front of it: a call is made once, and its value kept at once."""

    chat: Chat
    journal: Journal

    @property
    def name(self) -> str:
        return self.chat.name

    @property
    def identity(self) -> Mapping[str, Any]:
        return self.chat.identity

    def replies(self, texts: Sequence[str], seed: int) -> Replies:
        ask = partial(self.chat.replies, seed=seed)
        return self._each("reply", texts, seed, ask, lambda value: isinstance(value, str))

    def chances(self, texts: Sequence[str], options: tuple[str, str], seed: int) -> Replies:
        ask = partial(self.chat.chances, options=options, seed=seed)
        return self._each(" or ".join(options), texts, seed, ask, _is_chance)

    def stream(self, text: str, seed: int) -> Iterator[str]:
        return self.chat.stream(text, seed)

    def _each(self, kind: str, texts: Sequence[str], seed: int, ask: Any, fits: Any) -> Replies:
        """Of each text once what is missing; `fits` says what a value may be."""
        calls = [
            {"kind": kind, "text": text, "seed": seed, "of": dict(self.identity)} for text in texts
        ]
        first = {text: index for index, text in reversed(list(enumerate(texts)))}
        missing = [index for index in sorted(first.values()) if calls[index] not in self.journal]
        for index, value in ask([texts[index] for index in missing]):
            self.journal[calls[missing[index]]] = value
        for index, call in enumerate(calls):
            if not fits(value := self.journal[call]):
                raise WorkbenchError(
                    f"{self.journal.path or 'the journal'} holds {value!r:.60} where {self.name} "
                    f"was asked for {kind!r}; mend this line or take it out, and it is asked again"
                )
            yield index, value


def _is_chance(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and 0 <= value <= 1)
