"""The token pairs that contenders train on: made once, written to a file, the same for all."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.core.batch import Completion, Pair
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.pairs import ASSISTANT, encode_pairs, read_pairs
from workbench.data.tokenizer import Tokenizer
from workbench.models.load import Model
from workbench.models.smollm2 import fetch_smollm2
from workbench.train.method import find_method


@dataclass(frozen=True)
class TinyShape:
    """A decoder of five million parameters, the same in every library."""

    vocab_size: int = 512
    dim: int = 256
    layers: int = 5
    heads: int = 4
    hidden_dim: int = 1024
    max_length: int = 64


def tiny_model() -> Model:
    """The tiny decoder on the workbench's side, with weights drawn from a seed."""
    shape = TransformerConfig(**asdict(TinyShape()), kv_heads=TinyShape.heads)
    tokenizer = Tokenizer.from_words([])
    return Model("tiny", Transformer(shape), tokenizer, shape.max_length)


def tiny_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Random tokens: prompts of 32 and completions that fill the tiny decoder's length."""
    shape, draw = TinyShape(), random.Random(seed)
    rest = shape.max_length - 32
    text = [draw.randrange(2, shape.vocab_size) for _ in range(10_000)]
    return cut_pairs(text, (32, rest, rest), count, seed)


def smollm2_tokenizer() -> Tokenizer:
    """The real model's tokenizer, with its chat template."""
    return Tokenizer.from_folder(fetch_smollm2())


def short_pairs(source: str, batch_size: int, max_length: int = 512) -> list[Pair]:
    """The pairs of a preference file as the workbench tokenises them, in whole batches."""
    pairs = encode_pairs(read_pairs(source).pairs, smollm2_tokenizer(), max_length).pairs
    return pairs[: len(pairs) // batch_size * batch_size]


def cut_pairs(text: Sequence[int], sizes: Sequence[int], count: int, seed: int = 0) -> list[Pair]:
    """Pairs of exact lengths (prompt, chosen, rejected), cut out of a text at random places.

    The text is read on from its beginning where a piece would reach beyond its end.
    """
    draw = random.Random(seed)

    def piece(size: int) -> tuple[int, ...]:
        begin = draw.randrange(len(text))
        return tuple(text[(begin + place) % len(text)] for place in range(size))

    return [Pair(*map(piece, sizes)) for _ in range(count)]


def assistant_text() -> list[int]:
    """Token ids of all prompts and chosen answers that ship, end to end."""
    tokenizer = smollm2_tokenizer()
    texts = (text for pair in read_pairs(ASSISTANT).pairs for text in (pair.prompt, pair.chosen))
    return [token for text in texts for token in tokenizer.encode(text)]


def labelled(pairs: Sequence[Pair], max_length: int = 512) -> list[Completion]:
    """Two rows of KTO a pair: the chosen, which is desirable, and the rejected."""
    rows = [
        Completion(pair.prompt, ids, label)
        for pair in pairs
        for ids, label in ((pair.chosen, True), (pair.rejected, False))
    ]
    return find_method("kto").complete(rows, [], max_length)


def write_pairs(pairs: Sequence[Pair], path: Path) -> None:
    """Write pairs for `read_token_pairs`."""
    path.write_text(json.dumps([[p.prompt, p.chosen, p.rejected] for p in pairs]))


def read_token_pairs(path: str) -> list[Pair]:
    """The pairs that `write_pairs` wrote."""
    return [Pair(*map(tuple, row)) for row in json.loads(Path(path).read_text())]
