"""Pairs as the model sees them: their tokens, and which of them are scored."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.data.pairs import TextPair, encode_pairs
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.file_checks.check_file import model_to_read
from workbench.view.html.render import Html, render
from workbench.view.html.tokens import Strip, draw_strip

SIDES = ("chosen", "rejected")
FIRST, LAST = 80, 40  # tokens drawn of a text that has more


class PairDrawer:
    """Draws pairs as the model of `config` sees them; its tokenizer is loaded once, then kept.

    Attributes:
        longest: of a row, in tokens, as it is trained on; 0 before the tokenizer is loaded.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._tokenizer: Tokenizer | None = None
        self.longest = 0

    def load(self, progress: Progress) -> None:
        """Load the tokenizer, where it is not there yet; `progress` as `load_model` takes it."""
        if self._tokenizer is not None:
            return
        name = self._config.model
        progress(f"loading {name}", 0.0)
        model = model_to_read(name, progress)
        wanted = self._config.resolved().max_length or model.max_length
        self.longest = min(wanted, model.max_length)
        special = self._config.allow_special
        self._tokenizer = model.tokenizer.allowing_special() if special else model.tokenizer

    def draw(self, pairs: Sequence[TextPair]) -> Html:
        """Each pair with its row in the file: the prompt once, then both completions, as HTML.

        Empty before the tokenizer is loaded.
        """
        if self._tokenizer is None:
            return Html()
        return Html("".join(_draw(pair, self._tokenizer, self.longest) for pair in pairs))


def _draw(text: TextPair, tokenizer: Tokenizer, longest: int) -> Html:
    try:
        encoded = encode_pairs([text], tokenizer, longest)
    except WorkbenchError as error:  # too long, for one
        return render("seen_pair", row=text.row, parts=[], note=str(error))
    (pair,) = encoded.pairs
    cut = [f"{' and '.join(row.completions)} cut at {longest}" for row in encoded.truncated]
    parts = [_shortened(strip, name) for name, strip in _strips(pair, tokenizer).items()]
    return render("seen_pair", row=text.row, parts=parts, note="".join(cut))


def _strips(pair: Pair, tokenizer: Tokenizer) -> dict[str, Strip]:
    """Prompt, chosen and rejected; what is scored is what a batch of them scores."""
    scored = collate([pair], tokenizer.pad_id, "stacked").completion_mask.tolist()
    begin = len(pair.prompt)
    found = {"prompt": _strip(pair.prompt, scored[0][:begin], tokenizer)}
    for name, ids, row in zip(SIDES, (pair.chosen, pair.rejected), scored, strict=True):
        found[name] = _strip(ids, row[begin : begin + len(ids)], tokenizer)
    return found


def _strip(ids: Sequence[int], scored: Sequence[bool], tokenizer: Tokenizer) -> Strip:
    """What is not scored is what the model reads, and is drawn as the prompt is."""
    roles = ["completion" if one else "prompt" for one in scored]
    if scored[-1] and ids[-1] == tokenizer.eos_id:
        roles[-1] = "end"
    return Strip(tokenizer.tokens(list(ids)), roles, scored)


def _shortened(strip: Strip, name: str) -> Html:
    """A strip; of a long one the first and the last tokens, as two."""
    size = len(strip.tokens)
    if size <= FIRST + LAST:
        return Html(draw_strip(strip, name))
    parts = {
        f"{name}: the first {FIRST} of {size:,} tokens": slice(FIRST),
        f"{name}: the last {LAST} of {size:,} tokens": slice(-LAST, None),
    }
    return Html(
        "".join(
            draw_strip(Strip(strip.tokens[of], strip.roles[of], strip.scored[of]), title)
            for title, of in parts.items()
        )
    )
