"""Who writes and who scores: a model with all that it takes to ask it, under a name.

Everything that compares two models asks writers: policy and reference of a run, two checkpoints,
two runs, or any models that share a tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch, collate_sequences
from workbench.core.logps import next_token
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.config import SamplingConfig
from workbench.models.sampling import generate
from workbench.models.stops import cut
from workbench.train.base import Progress
from workbench.train.config import TrainConfig
from workbench.train.precision import computing, pick_device, pick_precision, set_threads
from workbench.train.prepare import open_model
from workbench.train.reopen import load_policy
from workbench.train.run import Run
from workbench.train.streams import Inside, stream
from workbench.train.turns import using_models

Ids = Sequence[int]


@dataclass(frozen=True)
class Writer:
    """A model that can be asked. Not from two threads at once, nor while another one trains it.

    Attributes:
        name: what people see it by.
        model: a policy, see `core.transformer.Policy`.
        around: a context within which `model` is this writer; adapters switched off, for one.
        own_model: nobody else uses `model`, so that `around` may stay on between the steps of a
            stream.
        amateur: whom contrastive decoding compares with. A writer without one writes plainly, as
            the reference does beside its policy.
    """

    name: str
    model: nn.Module
    tokenizer: Tokenizer
    device: str = "cpu"
    precision: str = "float32"
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    own_model: bool = False
    amateur: Writer | None = None

    @contextmanager
    def active(self) -> Iterator[nn.Module]:
        """The model, ready to be asked, in the number format of its run; no gradient is kept."""
        asked = computing(self.model, self.device, self.precision)
        with using_models(), torch.no_grad(), self.around(), asked:
            yield self.model

    def write(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[list[int]]:
        """The new tokens for each prompt, without the end token; `text` makes texts of them."""
        tokenizer = self.tokenizer
        rendered = [tokenizer.render_prompt(prompt) for prompt in prompts]
        sampling, along, amateur = self.contrasted(sampling)
        with ExitStack() as stack:
            for writer in (*along, self):
                stack.enter_context(writer.active())
            return generate(
                self.model,
                rendered,
                sampling,
                tokenizer.stop_ids,
                tokenizer.pad_id,
                decode=tokenizer.decode,
                amateur=amateur,
            )

    def text(self, ids: Ids, sampling: SamplingConfig) -> str:
        """The text of an answer, cut before the first stop string."""
        return cut(self.tokenizer.decode(ids), sampling.stop)

    def answer(self, prompts: Sequence[str], sampling: SamplingConfig) -> list[str]:
        """One text a prompt. The same seed gives every writer the same luck."""
        return [self.text(ids, sampling) for ids in self.write(prompts, sampling)]

    def stream(self, prompts: Sequence[str], sampling: SamplingConfig) -> Iterator[list[str]]:
        """Yield each prompt's text so far after every step; the last ones are those of `answer`.

        Texts only grow, but for beam search, which may change its mind, and for the beginning of a
        stop string, which goes again once the whole is there. `streams.stream_together` lets
        several writers take turns.
        """
        return stream(self, prompts, sampling)

    def contrasted(
        self, sampling: SamplingConfig
    ) -> tuple[SamplingConfig, tuple[Writer, ...], Any]:
        """What is left to ask for, who has to be opened before this writer, and the amateur."""
        other = self.amateur
        if not sampling.contrast_alpha or other is None:
            return replace(sampling, contrast_alpha=0.0), (), None
        if other.own_model:
            return sampling, (other,), other.model
        return sampling, (), Inside(other.model, other.around)

    def next_logps(self, prompt: Ids, completion: Ids) -> Tensor:
        """(completion, vocab) log-probabilities of every token at each place of a completion."""
        return self.all_next_logps([(prompt, completion)])[0]

    def all_next_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """`next_logps` of each (prompt, completion); for a large vocabulary ask a few at a time."""
        return self._score(sequences, lambda logps, completion: logps)

    def token_logps(self, sequences: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """For each (prompt, completion) the log-probability of its completion's tokens."""
        return self._score(
            sequences, lambda logps, ids: logps.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        )

    def _score(
        self, sequences: Sequence[tuple[Ids, Ids]], keep: Callable[[Tensor, Ids], Tensor]
    ) -> list[Tensor]:
        """What `keep` takes of (completion, vocab), one sequence after the other.

        Not in a batch, because a whole vocabulary a position is large; but in one context, because
        entering it may round all weights or read them from disk.
        """
        found = []
        with self.active() as model:
            for prompt, completion in sequences:
                batch: SequenceBatch = collate_sequences(
                    [(prompt, completion)], self.tokenizer.pad_id
                )
                here = batch.to(self.device)
                hidden = model.hidden(here.tokens, here.positions, here.attention_mask())  # type: ignore[operator]
                before, scored = next_token(hidden, here.completion_mask)
                logits = model.head(before[scored])  # type: ignore[operator]
                found.append(keep(logits.float().log_softmax(-1).cpu(), completion))
        return found


def writers(run: Run) -> tuple[Writer, Writer]:
    """Reference and policy of a run, as they are now."""
    config, reference = run.config, run.reference
    apart = reference.model is not run.policy
    policy = Writer(
        "policy", run.policy, run.tokenizer, config.device, config.precision, own_model=apart
    )
    # With adapters the reference is a policy: this run's, or that of the one it branched off.
    asked = replace(
        policy,
        name="reference",
        model=reference.model,
        around=reference.active,
        own_model=not config.lora,
    )
    return asked, replace(policy, amateur=asked)


Source: TypeAlias = Run | Writer | Path | str


def open_writers(
    what: Source | Sequence[Writer] | Mapping[str, Source], progress: Progress | None = None
) -> tuple[Writer, ...]:
    """All who are to be compared; the first is the one whom the others are compared with.

    Args:
        what: a run or the folder of one, which gives its reference and its policy; writers; or
            names for runs (their policies), folders of runs, models and writers, in any mixture.
        progress: told what is being loaded.

    Raises:
        WorkbenchError: a name that is neither a run's folder nor a model, or is given twice.
    """
    if isinstance(what, Run):
        return writers(what)
    if isinstance(what, str | Path):
        return writers(load_policy(what, progress)) if is_run(what) else (_model(what, progress),)
    if isinstance(what, Mapping):
        found = tuple(replace(_one(source, progress), name=name) for name, source in what.items())
    else:
        found = (what,) if isinstance(what, Writer) else tuple(what)
    names = [writer.name for writer in found]
    if not found or len(set(names)) < len(names):
        raise WorkbenchError(f"writers={names} is not accepted: one or more, each name once")
    first, *others = found
    return (first, *(replace(one, amateur=one.amateur or first) for one in others))


def _one(source: Source, progress: Progress | None) -> Writer:
    """The policy, where there is a reference as well."""
    return open_writers(source, progress)[-1]


def is_run(source: str | Path) -> bool:
    """Whether there is a recorded run in this folder."""
    return (Path(source) / "config.toml").exists()


def _model(source: str | Path, progress: Progress | None) -> Writer:
    """A model without any run, where and in which number format it is computed best."""
    model = open_model(TrainConfig(model=str(source)), progress)
    device = pick_device("auto")
    precision = pick_precision("auto", device, model.policy.to(device))
    set_threads(model.policy)
    return Writer(model.name, model.policy, model.tokenizer, device, precision, own_model=True)
