"""Checks that read texts and tokens as the model does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from workbench.data.encoding.encode_rows import longest_token
from workbench.data.pairs import SkippedRow, TextPair
from workbench.data.plain_names import without_end
from workbench.data.preflight.finding import Examined, Finding, rows_of_pairs
from workbench.data.tokenizer import UNKNOWN

FEW, MANY = 0.01, 0.2  # shares of unknown tokens: worth a word, and wrong
TOKENS, LETTERS = 4, 16  # that are looked at before and behind a boundary
CERTAIN = 0.7  # of pairs, at least, that length alone explains
ENOUGH = 20  # pairs that a share is told of


def unusable(seen: Examined) -> Iterator[Finding]:
    """Rows that training leaves out, by their reason."""
    skipped = [*seen.file.skipped, *seen.encoded.skipped]
    by_reason: dict[str, list[SkippedRow]] = {}
    for row in skipped:
        by_reason.setdefault(re.sub(r"\d+", "", row.reason), []).append(row)
    for rows in by_reason.values():
        yield Finding(
            "rows that cannot be used", False, tuple(sorted(row.row for row in rows)),
            f"{len(rows)} rows are left out: {rows[0].reason}", "mend or remove them",
        )  # fmt: skip


def truncated(seen: Examined) -> Iterator[Finding]:
    """Completions that are cut, and so never end."""
    found = seen.encoded.truncated
    if found:
        ends = sum(len(row.completions) for row in found)
        yield Finding(
            "cut completions", True, tuple(row.row for row in found),
            f"{ends} completions are longer than {seen.max_length} tokens allow: they are cut, and "
            "lose their end of sequence",
            "give shorter texts, or a model with a longer context",
        )  # fmt: skip


def special_tokens(seen: Examined) -> Iterator[Finding]:
    """Names of special tokens inside the texts; the end of sequence may end a completion."""
    names = seen.tokenizer.plain_names
    end = seen.tokenizer.special_names["eos_token"]

    def hits(pair: TextPair) -> list[str]:
        sides = [without_end(side, end) for side in (pair.chosen, pair.rejected)]
        return names.inside("\n".join([pair.prompt, pair.system or "", *sides]))

    by_row = [(pair, found) for pair in seen.pairs if (found := hits(pair))]
    if not by_row:
        return
    named = ", ".join(sorted({name for _, found in by_row for name in found}))
    allowed = seen.tokenizer.allow_special
    yield Finding(
        "special tokens inside texts", allowed or len(by_row) > MANY * len(seen.pairs),
        rows_of_pairs([pair for pair, _ in by_row]),
        f"{len(by_row)} pairs hold {named}, which the model reads as "
        + ("a turn or an end, not as text" if allowed else "letters, not as a turn or an end"),
        "remove them from the texts; the template adds what is needed"
        + ("" if allowed else ", or, where they are meant, take --allow-special"),
    )  # fmt: skip


def doubled_ends(seen: Examined) -> Iterator[Finding]:
    """A beginning of sequence twice, or not at all; an end of sequence twice."""
    ids, eos = seen.tokenizer.bos_ids, seen.tokenizer.eos_id
    begin = ids[:1]
    twice = [
        text
        for pair, text in zip(seen.encoded.pairs, seen.encoded.texts, strict=True)
        if begin and pair.prompt[:2] == begin * 2
    ]
    if twice:
        yield Finding(
            "doubled beginning of sequence", True, rows_of_pairs(twice),
            f"{len(twice)} prompts begin with it twice: once from the text or the template, once "
            "from the tokenizer",
            "remove it from the texts, or from the template",
        )  # fmt: skip
    missing = [pair for pair in seen.encoded.pairs if begin and pair.prompt[:1] != begin]
    if missing:
        yield Finding(
            "no beginning of sequence", False, (),
            f"{len(missing)} prompts do not begin with the token that the tokenizer puts first",
            "see whether the model was trained with it: then its chat template has to write it",
        )  # fmt: skip
    ends = [
        text
        for pair, text in zip(seen.encoded.pairs, seen.encoded.texts, strict=True)
        if (eos, eos) in (pair.chosen[-2:], pair.rejected[-2:])
    ]
    if ends:
        yield Finding(
            "doubled end of sequence", True, rows_of_pairs(ends),
            f"{len(ends)} pairs have a completion that ends twice", "remove one from the text",
        )  # fmt: skip


def merged(seen: Examined) -> Iterator[Finding]:
    """Prompts whose last token would melt into the completion, were both encoded as one text.

    Of tokenizers that keep spaces; others read two words without a space between as one.
    """
    tokenizer = seen.tokenizer
    if not longest_token(tokenizer):
        return
    places: dict[tuple[str, str], set[int]] = {}
    ends: dict[tuple[int, ...], str] = {}
    for pair, text in zip(seen.encoded.pairs, seen.encoded.texts, strict=True):
        ids = pair.prompt[-TOKENS:]
        if ids not in ends:
            ends[ids] = tokenizer.decode(ids, skip_special=False)
        for side in (text.chosen, text.rejected):
            places.setdefault((ends[ids], side[:LETTERS]), set()).add(text.row)
    alone = tokenizer.encode_all([end for end, _ in places])
    whole = tokenizer.encode_all([end + start for end, start in places])
    found = set[int]()
    for rows, ids, joined in zip(places.values(), alone, whole, strict=True):
        if joined[: len(ids)] != ids:
            found |= rows
    if found:
        yield Finding(
            "tokens across the boundary", False, tuple(sorted(found)),
            f"in {len(found)} pairs the end of the prompt and the start of a completion make one "
            "token, where both are encoded as one text",
            "nothing here, where both are encoded apart; elsewhere put a space or a line between",
        )  # fmt: skip


def unknown_tokens(seen: Examined) -> Iterator[Finding]:
    """Words that the model has no token for."""
    tokenizer = seen.tokenizer
    unknown = tokenizer.backend.token_to_id(tokenizer.special_names.get("unk_token", UNKNOWN))
    if unknown is None:
        return
    counts = Counter[bool]()
    rows = []
    for pair, text in zip(seen.encoded.pairs, seen.encoded.texts, strict=True):
        ids = (*pair.prompt, *pair.chosen, *pair.rejected)
        hits = ids.count(unknown)
        counts += Counter({True: hits, False: len(ids) - hits})
        if hits:
            rows.append(text.row)
    share = counts[True] / counts.total()
    if share > FEW:
        yield Finding(
            "unknown tokens", share > MANY, tuple(rows),
            f"{share:.0%} of all tokens are words that the model does not know",
            "take a model that knows the language of the texts",
        )  # fmt: skip


def length_explains(seen: Examined) -> Iterator[Finding]:
    """Whether the longer or the shorter side is nearly always the chosen one."""
    signs = [len(pair.chosen) - len(pair.rejected) for pair in seen.encoded.pairs]
    longer, shorter = sum(sign > 0 for sign in signs), sum(sign < 0 for sign in signs)
    if longer + shorter < ENOUGH:
        return
    share, what = max((longer, "longer"), (shorter, "shorter"))
    if share / len(signs) >= CERTAIN:
        yield Finding(
            "length explains the labels", False, (),
            f"in {share / len(signs):.0%} of the pairs the {what} completion is the chosen one; a "
            "model can get them right by length alone",
            f"if {what} is not what you want, balance the pairs; dpo_norm, rdpo and simpo follow "
            "length less",
        )  # fmt: skip
