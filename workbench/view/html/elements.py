"""Small pieces of HTML: text, status, errors. Pure functions; whatever comes in is escaped."""

from __future__ import annotations

import base64
import html
import io
import traceback
from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from workbench.data.pairs import SkippedRow
from workbench.errors import WorkbenchError
from workbench.view.live.run_state import RunState

MOST_ROWS = 200  # of those set aside that are listed
COLOURS = 64  # of a kept picture


def escape(text: str) -> str:
    """Text as HTML that shows just this text; line breaks stay.

    >>> escape("<b> & \\n")
    '&lt;b&gt; &amp; <br>'
    """
    sendable = text.encode("utf-8", "replace").decode()  # half a surrogate pair can't be sent
    return html.escape(sendable).replace("\n", "<br>")


def status(run_state: RunState) -> str:
    """Where a run stands, for people and, in `data-` attributes, for programs."""
    loss = run_state.metrics.get("loss")
    facts = {
        "state": run_state.state,
        "step": run_state.step,
        "beta": f"{run_state.settings['beta']:g}",
        "loss": "" if loss is None else f"{loss:.4f}",
        "loss-name": run_state.settings["loss"],
        "run": run_state.name,
    }
    data = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in facts.items())
    bar = f'<progress value="{run_state.step}" max="{run_state.total}"></progress>'
    return f'<div class="wb-status" {data}>{bar}<span>{escape(describe(run_state))}</span></div>'


def describe(run_state: RunState) -> str:
    """Where a run stands, in one line of text."""
    parts = [run_state.state, f"step {run_state.step} of {run_state.total}", _settings(run_state)]
    if "loss" in run_state.metrics:
        parts.append(f"loss {run_state.metrics['loss']:.3f}")
        parts.append(f"{run_state.metrics['pairs_per_second']:.3g} pairs/s")
    if not run_state.ended and run_state.seconds_left is not None:
        minutes, seconds = divmod(round(run_state.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return " · ".join([run_state.name, *parts])


def _settings(run_state: RunState) -> str:
    """Settings of the last step, and those that come into force with the next."""
    written = []
    for name, label in (("loss", "{}"), ("beta", "beta {:.3g}"), ("lr", "lr {:.2g}")):
        text = label.format(run_state.settings[name])
        if name in run_state.wanted:
            text += (
                f" → {run_state.wanted[name]:.3g}"
                if name != "loss"
                else f" → {run_state.wanted[name]}"
            )
        written.append(text)
    return " · ".join(written)


def waiting(state: str, text: str, share: float = 0.0) -> str:
    """The status while there is no run yet."""
    bar = f'<progress value="{share:.3f}"></progress>'
    return f'<div class="wb-status" data-state="{state}">{bar}<span>{escape(text)}</span></div>'


def error_card(error: BaseException) -> str:
    """What went wrong: one line, and for a mistake of the program where it happened."""
    if isinstance(error, WorkbenchError):
        return f'<div class="wb-error" role="alert">{escape(str(error))}</div>'
    line = f"{type(error).__name__}: {error}"
    trace = escape("".join(traceback.format_exception(error)))
    return (
        f'<div class="wb-error" role="alert">{escape(line)}'
        f"<details><summary>Traceback</summary><pre>{trace}</pre></details></div>"
    )


def facts(run_state: RunState) -> str:
    """What does not change during a run: the reference, and the rows that were set aside."""
    run = run_state.run
    line = f"reference <code title={run.reference_hash!r}>{escape(run.reference_hash[:12])}</code>"
    return f'<div class="wb-facts">{line}{skipped(run.skipped)}</div>'


def skipped(rows: Sequence[SkippedRow]) -> str:
    """The rows that can't be trained on, folded."""
    if not rows:
        return ""
    listed = "".join(
        f"<li>row {row.row}: <bdi>{escape(row.reason)}</bdi></li>" for row in rows[:MOST_ROWS]
    )
    more = f"<li>and {len(rows) - MOST_ROWS} more</li>" if len(rows) > MOST_ROWS else ""
    word = "row" if len(rows) == 1 else "rows"
    return (
        f"<details><summary>{len(rows)} {word} set aside</summary><ul>{listed}{more}</ul></details>"
    )


def picture(figure: Figure) -> str:
    """A figure as an <img> that needs no file."""
    data = base64.b64encode(png(figure)).decode()
    return f'<img alt="figure" src="data:image/png;base64,{data}">'


def png(figure: Figure) -> bytes:
    """A figure as PNG on an opaque background, small enough to be kept in a notebook."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encode(pixels(canvas).quantize(COLOURS, dither=Image.Dither.NONE), level=9)


def pixels(canvas: FigureCanvasAgg) -> Image.Image:
    """What is on a canvas, in true colour."""
    size, data = canvas.get_width_height(), canvas.buffer_rgba()
    return Image.frombuffer("RGBA", size, data, "raw", "RGBA", 0, 1).convert("RGB")


def encode(image: Image.Image, level: int) -> bytes:
    """An image as PNG; `level` 1 is quick, 9 is small."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=level)
    return file.getvalue()
