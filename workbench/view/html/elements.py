"""Small pieces of HTML: status of a run, errors, facts."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from workbench.core.losses import find_loss
from workbench.data.pairs import SkippedRow
from workbench.errors import WorkbenchError
from workbench.models.load import ABOUT
from workbench.train.precision import peak_memory_bytes
from workbench.view.html.render import Html, render
from workbench.view.live.run_state import RunState

MOST_ROWS = 200  # skipped rows that are listed


def status(run_state: RunState) -> Html:
    """State of a run, for people and, in `data-` attributes, for programs."""
    loss, parameters = run_state.metrics.get("loss"), _parameters(run_state)
    facts = {
        "state": run_state.state,
        "step": run_state.step,
        **{name.replace("_", "-"): _text(run_state.settings[name], ":g") for name in parameters},
        "loss": "" if loss is None else f"{loss:.4f}",
        "loss-name": run_state.settings["loss"],
        "run": run_state.name,
    }
    text = describe(run_state)
    return render(
        "status", facts=facts, value=run_state.step, max=run_state.total or None, text=text
    )


def waiting(state: str, text: str, share: float = 0.0) -> Html:
    """The status while there is no run yet."""
    return render("status", facts={"state": state}, value=f"{share:.3f}", max=None, text=text)


def describe(run_state: RunState) -> str:
    """State of a run in one line of text."""
    parts = [run_state.state, f"step {run_state.step} of {run_state.total}", _settings(run_state)]
    if "loss" in run_state.metrics:
        parts.append(f"loss {run_state.metrics['loss']:.3f}")
        speed = run_state.metrics["pairs_per_second"]
        parts.append(f"{speed:,.0f} rows/s" if speed >= 100 else f"{speed:.3g} rows/s")
    parts.append(f"{clock(run_state.seconds)} {'watched' if run_state.elsewhere else 'trained'}")
    if not run_state.ended and run_state.seconds_left is not None:
        parts.append(f"{clock(run_state.seconds_left)} left")
    if run_state.elsewhere:
        parts += [run_state.note] if run_state.note else []
    else:
        parts.append(f"{peak_memory_bytes('cpu') / 1e9:.1f} GB at most")
    return " · ".join([run_state.name, *parts])


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(65.4)
    '1:05'
    """
    return "{}:{:02d}".format(*divmod(round(seconds), 60))


def _settings(run_state: RunState) -> str:
    """Settings of the last step, and those that come into force with the next.

    Of the parameters the strength, and those that are not at their default: a line has few words.
    """
    loss, now = find_loss(run_state.settings["loss"]), run_state.settings
    told = [
        name
        for name in _parameters(run_state)
        if name == loss.strength or name in run_state.wanted or now[name] != loss.defaults.get(name)
    ]
    written = []
    for name in ("loss", *told, "lr"):
        form = ":.2g" if name == "lr" else ":.3g"
        text = _text(run_state.settings[name], form)
        if name in run_state.wanted:
            text += " → " + _text(run_state.wanted[name], form)
        written.append(text if name == "loss" else f"{name.replace('_', ' ')} {text}")
    return " · ".join(written)


def _parameters(run_state: RunState) -> list[str]:
    """The parameters of the loss at the last step, and the modifiers that change something."""
    loss = find_loss(run_state.settings["loss"])
    coming = [name for name in loss.modifiers if name in run_state.wanted]
    return list(dict.fromkeys([*loss.pick(run_state.settings), *coming]))


def _text(value: object, form: str) -> str:
    """A number in this form, anything else as it is."""
    return f"{{{form}}}".format(value) if isinstance(value, int | float) else str(value)


def error_card(error: BaseException) -> Html:
    """An error in one line; one that is not the user's also with its traceback, folded."""
    if isinstance(error, WorkbenchError):
        return render("error", line=str(error), trace="")
    trace = "".join(traceback.format_exception(error))
    return render("error", line=f"{type(error).__name__}: {error}", trace=trace)


def facts(run_state: RunState) -> Html:
    """What does not change in a run: model, reference, self-test, what is wrong or damaged."""
    run = run_state.run
    about = ABOUT.get(run.config.model, "")
    cut = [SkippedRow(row.row, " and ".join(row.completions)) for row in run.truncated]
    rows = skipped(run.skipped), skipped(cut, "with completions cut, without their end")
    test = run.self_test.line if run.self_test else ""
    lines = [line for line in (about, test, run.preflight_line, *run.warned) if line]
    return render("facts", hash=run.reference_hash, rows=rows, lines=lines)


def skipped(rows: Sequence[SkippedRow], what: str = "skipped") -> Html:
    """Rows that can't be trained on, or not as they are, folded; nothing where there are none."""
    return render("skipped", what=what, count=len(rows), rows=rows[:MOST_ROWS])
