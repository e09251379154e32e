"""`preflight`: every check on one file, for one model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from workbench.data.encoding.encode_rows import collection_paused
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source
from workbench.data.pairs import EncodedPairs, encode_pairs, read_pairs
from workbench.data.preflight import text_checks, token_checks
from workbench.data.preflight.finding import Check, Examined, Finding
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

CHECKS: tuple[Check, ...] = (
    token_checks.unusable,
    token_checks.truncated,
    token_checks.special_tokens,
    token_checks.doubled_ends,
    token_checks.unknown_tokens,
    text_checks.contradicting,
    text_checks.scored_otherwise,
    text_checks.hardly_different,
    text_checks.repeated,
    text_checks.prompts_alike,
    token_checks.merged,
    token_checks.length_explains,
)
# Told by a run apart, or harmless where prompt and completion are encoded apart.
ELSEWHERE = ("rows that cannot be used", "cut completions", "tokens across the boundary")


@dataclass(frozen=True)
class Report:
    """What was found in a file; what is wrong comes first.

    Attributes:
        source: the file.
        pairs: how many can be trained on.
        findings: see `Finding`.
        layout: how its columns were read.
        notes: numbers that are no finding.
    """

    source: str
    pairs: int
    findings: tuple[Finding, ...]
    layout: str = ""
    notes: tuple[str, ...] = ()

    @property
    def wrong(self) -> int:
        """How many findings make training go wrong."""
        return sum(finding.wrong for finding in self.findings)

    @property
    def verdict(self) -> str:
        """In a few words.

        >>> Report("pairs.jsonl", 3, ()).verdict
        '3 pairs: nothing found'
        """
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        suspicious = len(self.findings) - self.wrong
        found = f"{self.wrong} wrong, {suspicious} suspicious" if self.findings else "nothing found"
        return f"{pairs}: {found}"

    @property
    def in_line(self) -> str:
        """The findings in one line, but for those that a run tells by itself or that do no harm."""
        return "; ".join(
            f"{one.kind}: {one.check}" + (f" in {len(one.rows)} rows" if one.rows else "")
            for one in self.findings
            if one.check not in ELSEWHERE
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def preflight(
    source: Source,
    tokenizer: Tokenizer,
    max_length: int,
    reading: Reading | str | None = None,
) -> Report:
    """Look for everything that is wrong or suspicious in a file of pairs.

    Args:
        source, reading: as `read_pairs` takes them.
        tokenizer, max_length: of the model that is to be trained.

    Raises:
        WorkbenchError: the file cannot be read, or none of its rows can be used as text.
    """
    return examine(source, tokenizer, max_length, reading)[0]


def examine(
    source: Source, tokenizer: Tokenizer, max_length: int, reading: Reading | str | None = None
) -> tuple[Report, EncodedPairs | None]:
    """`preflight`, and the pairs as it encoded them; None where none fits the model."""
    with collection_paused():
        return _examined(source, tokenizer, max_length, reading)


def _examined(
    source: Source, tokenizer: Tokenizer, max_length: int, reading: Reading | str | None
) -> tuple[Report, EncodedPairs | None]:
    file = read_pairs(source, reading)
    try:
        encoded = encode_pairs(file.pairs, tokenizer, max_length)
    except WorkbenchError as error:  # none fits the model
        none = Finding("no pair fits the model", True, (), str(error), "give shorter prompts")
        return Report(file.source, 0, (none,), file.layout), None
    seen = Examined(file, encoded, tokenizer, max_length)
    findings = [finding for check in CHECKS for finding in check(seen)]
    findings.sort(key=lambda finding: not finding.wrong)
    return Report(file.source, len(encoded.pairs), tuple(findings), file.layout), encoded
