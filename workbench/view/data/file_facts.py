"""What was found in a file, and how it will be trained on, as HTML."""

from __future__ import annotations

from workbench.train.config import TrainConfig
from workbench.view.data.opened_file import OpenedFile
from workbench.view.html.elements import skipped
from workbench.view.html.render import Html, render


def found(opened: OpenedFile) -> Html:
    """Name and layout of a file, how many of its rows can be used, and why the others cannot."""
    name = opened.source
    if opened.pairs is None:
        unknown = "its columns are not those of pairs: choose which is which"
        facts, rows = opened.kind or unknown, Html()
    else:
        count = len(opened.pairs.pairs)
        known_as = f" · {opened.columns.replace(',', ', ')}" if opened.columns else ""
        pairs = "pair" if count == 1 else "pairs"
        facts = f"{opened.pairs.layout}{known_as} · {count:,} {pairs} can be used"
        rows = skipped(opened.pairs.skipped)
    return render("found_file", name=name, facts=facts, skipped=rows)


def training_facts(opened: OpenedFile, config: TrainConfig) -> str:
    """Model, loss and how the pairs are divided, in a line."""
    assert opened.pairs is not None
    filled, pairs = config.resolved(), len(opened.pairs.pairs)
    held_out = filled.held_out or 0
    train = pairs - held_out
    parts = [
        f"{filled.model}, {filled.loss}",
        f"about {train:,} {'pair' if train == 1 else 'pairs'} to train on, {held_out:,} held out",
        f"{filled.epochs} {'epoch' if filled.epochs == 1 else 'epochs'} in batches of "
        f"{filled.batch_size}",
    ]
    return " · ".join(parts)
