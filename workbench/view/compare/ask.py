"""Ask models: type a prompt, press Generate, and watch all of them write, token by token.

ask_models(run, "Is the earth flat?")             # policy beside reference
ask_models({"base": "smollm2", "mine": "runs/mine"})

The writing goes on in a thread, so the page stays alive. A live run lends its own thread and waits
meanwhile, for no model may be used from two threads at once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from workbench.compare.model_handles import ModelHandle
from workbench.compare.open_handles import Source, is_run, open_handles
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.view.controls.progress import ProgressLine
from workbench.view.controls.sampling_controls import FIRST, SamplingControls, described
from workbench.view.html import answer_panes, elements
from workbench.view.html.style import STYLE
from workbench.view.live.model_thread import ModelThread
from workbench.view.live.writing import FINISHED, STOPPED, WAITING, WRITING, Draft, Writing

OWN_STYLE = """<style>
.wb-asking .wb-more { width: 100%; margin: 0; }
.wb-asking .wb-ask .wb-prompt { flex: 1 1 100%; }
.wb-asking .wb-ask .wb-temperature { width: 320px; }
.wb-asking .wb-grid {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 6px 20px;
}
.wb-asking .wb-grid > * { width: auto; min-width: 0; margin: 0; }
.wb-asking .wb-grid .widget-label { flex: 0 0 130px; text-align: left; }
.wb-asking .wb-ask button { width: 90px; border-radius: 4px; }
.wb-asking .wb-generate { background: var(--wb-accent); color: #fff; font-weight: 600; }
.wb-asking .wb-pane { height: auto; min-height: 108px; max-height: 340px; }
.wb-asking .wb-asked { color: var(--wb-quiet); max-height: 100px; overflow: auto; }
</style>"""


def ask_models(
    what: Source | Sequence[ModelHandle] | Mapping[str, Source],
    prompt: str = "",
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Asking:
    """Ask, and watch all write side by side: an object that shows itself as a cell's last line.

    Args:
        what: a run or its folder, for policy beside reference; models; or names for runs, folders
            and models. See `open_handles`.
        prompt: answered when it is shown; a saved notebook keeps those answers.
        sampling: where the controls start; left out, as the run shows its texts.
        progress: told what is being loaded; in a notebook, left out, a line below the cell tells.

    Raises:
        WorkbenchError: no such run or model.
    """
    tell = progress or (ProgressLine() if get_ipython() else lambda text, share: None)
    opened = load_run(what, tell) if isinstance(what, str | Path) and is_run(what) else what
    run = opened if isinstance(opened, Run) else None
    shown = run.shown_sampling if run is not None else SamplingConfig()
    return Asking(open_handles(opened, tell), prompt, sampling or shown)


class Asking:
    """What `ask_models` makes.

    Attributes:
        models: who is asked; the others are compared with the first.
        prompt: the field for it; `controls` are the settings.
        box: all of it, as a widget.
    """

    def __init__(self, asked: Sequence[ModelHandle], prompt: str, sampling: SamplingConfig) -> None:
        self.handles = tuple(asked)
        self.controls = SamplingControls(sampling)
        hint = "Type a prompt here, then press Generate."
        self.prompt = widgets.Textarea(value=prompt, placeholder=hint, rows=2).add_class(
            "wb-prompt"
        )
        self.generate, self.cease = (
            widgets.Button(description=name, tooltip=tip).add_class(f"wb-{name.lower()}")
            for name, tip in (
                ("Generate", "let all write, with the same seed"),
                ("Stop", "leave it at what is written so far"),
            )
        )
        self._html = {
            name: widgets.HTML().add_class(f"wb-{name}") for name in ("problem", "asked", "answer")
        }
        self._turn = threading.RLock()  # callbacks and the writing may come on any thread
        self._error: Exception | None = None
        self._over = threading.Event()
        self._over.set()
        self._writing: Writing | None = None
        self._question, self._sampling = "", sampling
        self._show(Draft(([""],) * len(self.handles), FINISHED))
        self.generate.on_click(lambda button: self.ask())
        self.cease.on_click(lambda button: self.stop())
        self.box = self._arrange()

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, prompt: str | None = None) -> None:
        """As Generate does: have the prompt answered; returns at once, see `join`.

        What can't be asked is said in the view.
        """
        if prompt is not None:
            self.prompt.value = prompt
        with self._turn:
            try:
                question, sampling = self.prompt.value, self.controls.value
                if not question.strip():
                    raise WorkbenchError("the prompt is empty: type one")
            except WorkbenchError as error:
                self._complain(error)
                return
            self._give_up()
            self._question, self._sampling = question, sampling
            writing = Writing(self.handles, [question], sampling, lambda d: self._tell(writing, d))
            self._writing, self._over = writing, threading.Event()
            self._complain(None)
            self._show(Draft(([""],) * len(self.handles), WAITING))
            ModelThread.at_work().write(writing)

    def stop(self) -> None:
        """As Stop does: leave it at what is written so far, before the next token."""
        with self._turn:
            if self._writing is not None:
                self._writing.cancel()
                if self.draft.state == WAITING:  # perhaps for long
                    self._end(Draft(self.draft.texts, STOPPED))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the writing has ended; whether it has. Raises what ended or hindered it."""
        over = self._over.wait(timeout)
        if over and self._error is not None:
            raise self._error
        return over

    @property
    def answers(self) -> dict[str, str]:
        """What has been written so far, by name."""
        return {w.name: texts[0] for w, texts in zip(self.handles, self.draft.texts, strict=True)}

    # -- showing --------------------------------------------------------------------------------

    def _tell(self, writing: Writing, draft: Draft) -> None:
        """What the thread says of a writing; what was given up here has nothing to say any more."""
        with self._turn:
            if writing is not self._writing:
                return
            self._show(draft) if draft.state == WRITING else self._end(draft)

    def _give_up(self) -> None:
        """What is being written is no longer wanted."""
        if self._writing is not None:
            self._writing.cancel()
            self._over.set()

    def _end(self, draft: Draft) -> None:
        self._writing = None
        self._show(draft)
        self._over.set()

    def _show(self, draft: Draft) -> None:
        self.draft = draft
        self.cease.disabled = draft.state not in (WAITING, WRITING)
        if draft.error is not None:
            self._complain(draft.error)
        self._html["asked"].value = self._caption
        self._html["answer"].value = self._panes

    def _complain(self, error: Exception | None) -> None:
        self._error = error
        self._html["problem"].value = "" if error is None else elements.error_card(error)

    @property
    def _panes(self) -> str:
        return answer_panes.answer_panes(self.answers, self.draft.state if self._question else "")

    @property
    def _caption(self) -> str:
        """The prompt that is answered below, and how."""
        if not self._question:
            return ""
        return (
            '<p style="margin: 4px 0; overflow-wrap: anywhere">'
            f"<b><bdi>{elements.escape(self._question)}</bdi></b><br>"
            f"<small>{elements.escape(described(self._sampling))}</small></p>"
        )

    @property
    def html(self) -> str:
        """The same without widgets: the prompt and its answers."""
        told = self._html["problem"].value
        if not self._question:
            return f"{told}<p>Run this cell, type a prompt and press Generate.</p>"
        return f"{self._caption}{told}{self._panes}"

    def _arrange(self) -> widgets.VBox:
        style = widgets.HTML(STYLE + answer_panes.STYLE + OWN_STYLE).add_class("wb-style")
        seen = [self.controls.widgets[name] for name in FIRST]
        row = widgets.HBox([self.prompt, *seen, self.generate, self.cease])
        row.add_class("wb-row").add_class("wb-ask")
        parts = [style, row, self.controls.fold(), *self._html.values()]
        return widgets.VBox(parts).add_class("wb-dashboard").add_class("wb-asking")

    def _bundle(self) -> dict[str, object]:
        widget = {} if "google.colab" in sys.modules else self.box._repr_mimebundle_()
        return {**widget, "text/html": self.html}

    def _ipython_display_(self) -> None:
        """The widget at once; where there is a prompt, the cell waits for its first answers."""
        if self._question or not self.prompt.value.strip():
            return display(self._bundle(), raw=True)
        place = display(self._bundle(), raw=True, display_id=True)
        self.ask()
        try:
            while not self._over.wait(0.2):  # in pieces, or Windows could not interrupt it
                pass
        except KeyboardInterrupt:
            self.stop()
            self._over.wait(1)
        if place is not None:  # none outside of a notebook
            place.update(self._bundle(), raw=True)
