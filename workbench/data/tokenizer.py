"""One tokenizer for the embedded worlds and for real models, around the `tokenizers` library.

Prompt and completion are encoded separately and joined as ids, so no token spans the boundary
between them: every completion token is scored as itself. `transformers` is not imported;
`from_folder` reads its files, and `save` writes them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from workbench.data.cache import atomic_write
from workbench.data.chat import render_chat, turn_marks
from workbench.data.foreign.own_files import told
from workbench.data.json_rows import write_json
from workbench.data.plain_names import PlainNames, without_end
from workbench.data.tokenizer_files import (
    HIGHEST_ID,
    json_if_any,
    leading_specials,
    tokenizer_parts,
)
from workbench.errors import WorkbenchError

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


class Tokenizer:
    """Texts to token ids and back, with a model's end-of-sequence token and its chat template.

    - `eos_id` ends every completion; `stop_ids` are all ids that end a generation, `eos_id` too.
    - `pad_id` is `eos_id` where none is given: masks come from lengths, never from ids.
    - `bos_ids` are the tokens that the backend puts before a text; where none are given, they are
      taken from its post-processor.
    - `special_names` names tokens for the chat template, such as {"bos_token": "<s>"}.

    The name of a special token inside a text ("<|im_end|>") is plain text, so that no text forges a
    turn; at the end of a completion it ends it. With `allow_special` it is always that token.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        eos_id: int,
        pad_id: int | None = None,
        bos_ids: Sequence[int] | None = None,
        chat_template: str | None = None,
        stop_ids: Iterable[int] = (),
        special_names: Mapping[str, str] | None = None,
        allow_special: bool = False,
    ) -> None:
        self.backend = backend
        self.allow_special = allow_special
        self.known: Mapping[str, Sequence[int]] = {}
        self.eos_id = eos_id
        self.pad_id = eos_id if pad_id is None else pad_id
        self.bos_ids = leading_specials(backend) if bos_ids is None else tuple(bos_ids)
        self.chat_template = chat_template
        self.stop_ids = frozenset(stop_ids) | {eos_id}
        self.special_names = dict(special_names or {})
        for key, index in (("eos_token", self.eos_id), ("pad_token", self.pad_id)):
            name = backend.id_to_token(index)
            if name is None:
                raise WorkbenchError(f"{key} has id {index}, which is not in the tokenizer")
            self.special_names[key] = name

    @classmethod
    def from_words(cls, words: Iterable[str]) -> "Tokenizer":
        """A word-level tokenizer: one id per word or punctuation mark, `<unk>` for all others.

        Texts are split at spaces and around punctuation; decoding joins words by spaces, with none
        before a punctuation mark.

        >>> tokenizer = Tokenizer.from_words(["the", "plot", "was", "good", "."])
        >>> tokenizer.completion("the plot was odd.")
        [3, 4, 5, 2, 7, 1]
        >>> tokenizer.decode([3, 4, 5, 2, 7, 1])
        'the plot was <unk>.'
        """
        entries = dict.fromkeys([PAD, EOS, UNKNOWN, *words])
        vocabulary = {word: index for index, word in enumerate(entries)}
        backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
        # `<unk>` is no special token: decoding would drop it and hide that a word was lost.
        backend.add_special_tokens([PAD, EOS])
        no_space_before = [decoders.Replace(f" {mark}", mark) for mark in ".,:;?!"]
        backend.decoder = decoders.Sequence([decoders.WordPiece(cleanup=False), *no_space_before])
        return cls(backend, vocabulary[EOS], vocabulary[PAD])

    @classmethod
    def from_folder(cls, path: str | Path) -> "Tokenizer":
        """Read `tokenizer.json` and the files next to it with special tokens and the template.

        The end of sequence is `eos_token` of `tokenizer_config.json`, else the first `eos_token_id`
        of `generation_config.json` or `config.json`; all ids named there are `stop_ids`.

        Raises WorkbenchError where `tokenizer.json` is missing or broken, or nothing names an end
        of sequence.
        """
        folder = Path(path)
        with told(folder):
            return cls(**tokenizer_parts(folder))

    def save(self, folder: str | Path) -> None:
        """Write the files that `from_folder` and `transformers.AutoTokenizer` both read."""
        folder = Path(folder)
        config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
        config |= {"clean_up_tokenization_spaces": False, **self.special_names}
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        atomic_write(folder / "tokenizer.json", lambda path: self.backend.save(str(path)))
        write_json(folder / "tokenizer_config.json", config)
        if len(self.stop_ids) > 1:
            path = folder / "generation_config.json"
            others = sorted(self.stop_ids - {self.eos_id})
            write_json(path, {**json_if_any(path), "eos_token_id": [self.eos_id, *others]})

    @property
    def vocab_size(self) -> int:
        """The number of ids, special tokens included. A model's embedding may be padded beyond."""
        return self.backend.get_vocab_size(with_added_tokens=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that determines the ids of a text."""
        parts = [self.backend.to_str(), self.eos_id, self.pad_id, list(self.bos_ids)]
        parts += [self.chat_template, sorted(self.stop_ids), sorted(self.special_names.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def allowing_special(self) -> "Tokenizer":
        """The same, with the names of special tokens read as those tokens."""
        other = copy(self)
        other.allow_special = True
        return other

    def knowing(self, prompts: Mapping[str, Sequence[int]]) -> "Tokenizer":
        """The same, which renders these prompts as these ids: conversations by transcript."""
        other = copy(self)
        other.known = dict(prompts)
        return other

    @cached_property
    def plain_names(self) -> PlainNames:
        """Of special tokens, and of all that end an answer or mark a turn."""
        ends = "".join(filter(None, map(self.backend.id_to_token, self.stop_ids)))
        return PlainNames(self.backend, ends + turn_marks(self.chat_template, self.special_names))

    def encode(self, text: str) -> list[int]:
        """The ids of a text as it stands, names of special tokens read as those tokens."""
        with told("the tokenizer"):
            return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """The text of ids; special tokens are left out unless `skip_special` is False."""
        with told("the tokenizer"):
            return self.backend.decode(list(ids), skip_special_tokens=skip_special)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """One readable string per id, leading spaces kept.

        A token that is only part of a character is shown as in the vocabulary; an id outside the
        vocabulary as "<id>".
        """
        return [self._readable(index) for index in ids]

    def render_prompt(self, text: str, system: str | None = None) -> list[int]:
        """The ids of a prompt, up to where the completion starts.

        With a chat template: the rendered messages and the generation prompt. Without: `bos_ids`
        and the text, after the system text as a paragraph of its own.
        Raises WorkbenchError where the template rejects the messages or is broken.
        """
        if system is None and text in self.known:
            return [*self.known[text]]
        return [*self.leading_ids, *self.encode_all([self.prompt_text(text, system)])[0]]

    @property
    def leading_ids(self) -> tuple[int, ...]:
        """What stands before the ids of `prompt_text`; a chat template writes its own."""
        return () if self.chat_template is not None else self.bos_ids

    def prompt_text(self, text: str, system: str | None = None) -> str:
        """What `render_prompt` encodes, and raises for; names in its texts are put aside."""
        text, system = self.put_aside(text), None if system is None else self.put_aside(system)
        if self.chat_template is not None:
            return render_chat(self.chat_template, text, system, self.special_names)
        return f"{system}\n\n{text}" if system else text

    def put_aside(self, text: str) -> str:
        """A text whose names of special tokens `encode_all` reads as letters."""
        return text if self.allow_special else self.plain_names.put_aside(text)

    def completion(self, text: str) -> list[int]:
        """The ids of a completion, with the end of sequence appended unless it ends with it."""
        return list(self.completions([text])[0])

    def completions(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """`completion` of each text, on all cores."""
        if not self.allow_special:
            end = self.special_names["eos_token"]
            texts = [self.put_aside(without_end(text, end)) for text in texts]
        return [
            ids if ids[-1:] == (self.eos_id,) else (*ids, self.eos_id)
            for ids in self.encode_all(texts)
        ]

    def encode_all(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """`encode` of texts, on all cores; names put aside are letters; equal ids are one."""
        same = self._same_ids
        with told("the tokenizer"):
            return [tuple(map(same.__getitem__, ids)) for ids in self.plain_names.encode(texts)]

    @cached_property
    def _same_ids(self) -> list[int]:
        highest = max(self.backend.get_vocab().values())  # there may be gaps
        if highest >= HIGHEST_ID:
            raise WorkbenchError(f"the tokenizer has id {highest}; accepted are up to {HIGHEST_ID}")
        return list(range(highest + 1))

    def _readable(self, index: int) -> str:
        raw = self.backend.id_to_token(index)
        if raw is None:
            return f"<{index}>"
        text = self.decode([index], skip_special=False)
        if not text or "\N{REPLACEMENT CHARACTER}" in text:
            return raw
        # Decoders of the SentencePiece kind drop a leading space, as at the start of a text.
        return f" {text}" if raw.startswith("▁") and not text.startswith(" ") else text
