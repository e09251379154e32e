"""Ask models: type a prompt, press Generate, and watch all of them write, token by token.

ask_models(run, "Is the earth flat?")             # policy beside reference
ask_models({"base": "smollm2", "mine": "runs/mine"})

The writing goes on in a thread, so the page stays responsive. While a live run is training, its own
thread does the writing between two steps, for no model may be used from two threads at once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

import ipywidgets as widgets
from IPython.display import display

from workbench.compare.handle_sources import open_handles
from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import described, shown_sampling
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.view.cell_output import beside
from workbench.view.compare.sources import Sources, opened, progress_of
from workbench.view.controls.awaited import Awaited
from workbench.view.controls.sampling_controls import FIRST, SamplingControls
from workbench.view.controls.view_box import view_box
from workbench.view.html.elements import error_card
from workbench.view.html.render import render, style
from workbench.view.html.side_by_side import PromptAnswers, side_by_side
from workbench.view.live.model_thread import ModelThread
from workbench.view.live.writing import FINISHED, STOPPED, WAITING, WRITING, Draft, Writing


def ask_models(
    what: Sources,
    prompt: str = "",
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Asking:
    """Ask, and watch all write side by side: an object that displays itself as a cell's last line.

    Args:
        what: a run or its folder, for policy beside reference; models; or names for runs, folders
            and models. See `open_handles`.
        prompt: answered when it is shown; a saved notebook keeps those answers.
        sampling: where the controls start; left out, as the run shows its texts.
        progress: called with what is being loaded and the share done; left out, a line below the
            cell in a notebook.

    Raises:
        WorkbenchError: no such run or model.
    """
    progress = progress_of(progress)
    source = opened(what, progress)
    asked = open_handles(source, progress)
    if isinstance(source, Run):
        sampling = sampling or source.shown_sampling
    return Asking(asked, prompt, sampling or shown_sampling(asked[0].model))


class Asking(Awaited):
    """What `ask_models` makes.

    Attributes:
        handles: the models that are asked; the others are compared with the first.
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
        self._lock = threading.RLock()  # callbacks and drafts may come on any thread
        self._error: Exception | None = None
        self._over = threading.Event()
        self._over.set()
        self._writing: Writing | None = None
        self._question, self._sampling = "", sampling
        self._show(Draft(([""],) * len(self.names), FINISHED))
        self.generate.on_click(lambda button: self.ask())
        self.cease.on_click(lambda button: self.stop())
        self.box = self._arrange()

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, prompt: str | None = None) -> None:
        """As Generate does: have the prompt answered; returns at once, see `join`.

        An error in the prompt or the settings is shown in the view.
        """
        if prompt is not None:
            self.prompt.value = prompt
        with self._lock:
            try:
                question, sampling = self.prompt.value, self.controls.value
                if not question.strip():
                    raise WorkbenchError("the prompt is empty: type one")
            except WorkbenchError as error:
                self._show_error(error)
                return
            self._cancel()
            self._question, self._sampling = question, sampling
            writing = self._writing_of(
                question, sampling, lambda draft: self._receive(writing, draft)
            )
            self._writing, self._over = writing, threading.Event()
            self._show_error(None)
            self._show(Draft(([""],) * len(self.names), WAITING))
            ModelThread.at_work().write(writing)

    def stop(self) -> None:
        """As Stop does: leave it at what is written so far, before the next token."""
        with self._lock:
            if self._writing is not None:
                self._writing.cancel()
                if self.draft.state == WAITING:  # perhaps for a long time
                    self._end(Draft(self.draft.texts, STOPPED))

    @property
    def answers(self) -> dict[str, str]:
        """What has been written so far, by name."""
        return {name: texts[0] for name, texts in zip(self.names, self.draft.texts, strict=True)}

    @property
    def names(self) -> list[str]:
        """Of the panes, in order."""
        return [handle.name for handle in self.handles]

    def _writing_of(
        self, question: str, sampling: SamplingConfig, show: Callable[[Draft], None]
    ) -> Writing:
        return Writing(self.handles, [question], sampling, show)

    # -- showing --------------------------------------------------------------------------------

    def _receive(self, writing: Writing, draft: Draft) -> None:
        """A draft from the thread; those of a writing that was given up are dropped."""
        with self._lock:
            if writing is not self._writing:
                return
            self._show(draft) if draft.state == WRITING else self._end(draft)

    def _cancel(self) -> None:
        """Give up what is being written."""
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
            self._show_error(draft.error)
        self._html["asked"].value = self._caption
        self._html["answer"].value = self._panes

    def _show_error(self, error: Exception | None) -> None:
        self._error = error
        self._html["problem"].value = "" if error is None else error_card(error)

    @property
    def _panes(self) -> str:
        cuts = [cut for (cut,) in self.draft.cuts]
        texts = PromptAnswers(self._question, list(self.answers.values()), cuts=cuts)
        state = self.draft.state if self._question else ""
        return side_by_side(list(self.answers), [texts], look="panes", state=state)

    @property
    def _caption(self) -> str:
        """The prompt that is answered below, and how."""
        if not self._question:
            return ""
        return render("asked", prompt=self._question, sampling=self._drawn)

    @property
    def _drawn(self) -> str:
        return described(self._sampling, [handle.model for handle in self.handles])

    @property
    def html(self) -> str:
        """The same without widgets: the prompt and its answers."""
        problem = self._html["problem"].value
        if not self._question:
            return f"{problem}<p>Run this cell, type a prompt and press Generate.</p>"
        return f"{self._caption}{problem}{self._panes}"

    def _arrange(self) -> widgets.VBox:
        sheets = widgets.HTML(style("workbench", "answer_panes", "asking")).add_class("wb-style")
        seen = [self.controls.widgets[name] for name in FIRST]
        row = widgets.HBox([self.prompt, *seen, self.generate, self.cease])
        row.add_class("wb-row").add_class("wb-ask")
        parts = [sheets, row, self.controls.fold(), *self._html.values()]
        return view_box(parts, "wb-dashboard", "wb-asking")

    def _bundle(self) -> dict[str, object]:
        return beside(None if "google.colab" in sys.modules else self.box, self.html)

    def _ipython_display_(self) -> None:
        """The widget at once; where there is a prompt, the cell waits for its first answers."""
        if self._question or not self.prompt.value.strip():
            return display(self._bundle(), raw=True)
        handle = display(self._bundle(), raw=True, display_id=True)
        self.ask()
        try:
            while not self._over.wait(0.2):  # an endless wait can't be interrupted on Windows
                pass
        except KeyboardInterrupt:
            self.stop()
            self._over.wait(1)
        if handle is not None:  # none outside of a notebook
            handle.update(self._bundle(), raw=True)
