"""The input widgets of the dashboard, and its layout."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from workbench.core.losses import MODIFIERS, all_parameters, find_loss
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import LENGTH, shown_sampling
from workbench.models.load import recommended_before_loading
from workbench.train.config import TrainConfig
from workbench.view.controls.fields import control
from workbench.view.controls.number import NumberControl
from workbench.view.controls.presets import PresetMenu
from workbench.view.controls.view_box import view_box
from workbench.view.html.render import render, style
from workbench.view.live.outputs.press_guard import PressGuard
from workbench.view.live.runs_table.table_actions import TableActions
from workbench.view.live.screen import Outputs

ALL = "all"  # in the run menu
BUTTONS = {  # no icons: they would become part of a button's name for a screen reader
    "Start": "train from the reference, with these settings",
    "Pause": "pause after the present step",
    "Step": "take one step, then pause",
    "Branch": "copy the run as it is now; both go on",
    "Stop": "end after the present step, evaluated once more and saved; stop writing at once",
    "Generate": "let policy and reference write, with the same seed; training waits meanwhile",
}


class Inputs:
    """The widgets that the user sets. They are read, and never set, while a run goes on.

    Attributes:
        parameters: those of the chosen loss.
        modifiers: all there are; shown are those that the chosen loss takes.
    """

    def __init__(self, asked: TrainConfig, prompt: str | None) -> None:
        self._on_setting = list[Callable[..., None]]()
        self._asked, config = asked, asked.resolved()
        self._values = dict[str, Any]()  # of the settings offered, by name
        self._showing: int | None = None  # the thread within `show_values`
        self.presets = PresetMenu(config, self._choose)
        self.lr = control(config, "lr", "learning rate")
        self._follow("lr", self.lr)
        self.loss = control(config, "loss")
        self.about_loss = widgets.HTML().add_class("wb-about-loss")
        self.parameters: dict[str, widgets.DOMWidget] = {}
        # Values that were given or moved, over all changes of the loss.
        defaults = find_loss(self.loss.value).defaults
        given = {n: getattr(config, n) for n in all_parameters() if n not in MODIFIERS}
        self._moved = {
            name: value
            for name, value in given.items()
            if value is not None and value != defaults.get(name)
        }
        self.parameter_row = widgets.HBox().add_class("wb-row").add_class("wb-parameters")
        self.modifiers = self._make_modifiers()
        row = widgets.HBox(list(self.modifiers.values())).add_class("wb-row")
        self.modifier_box = widgets.Accordion([row], titles=("Modifiers",))
        self.modifier_box.add_class("wb-modifiers")
        self._offer_parameters(find_loss(self.loss.value).pick(vars(config)))
        self.loss.observe(self._change_loss, "value")
        self.runs = widgets.Dropdown(description="controls act on").add_class("wb-runs")
        self.offer_runs(["run"])
        self.buttons = {
            name: widgets.Button(description=name, tooltip=tip).add_class(f"wb-{name.lower()}")
            for name, tip in BUTTONS.items()
        }
        hint = "A prompt; if empty, held-out ones"
        self.prompt = widgets.Textarea(value=prompt or "", placeholder=hint, rows=2)
        self.prompt.add_class("wb-prompt")
        self._shown = shown_sampling(
            recommended_before_loading(config.model), config.shown_temperature,
            config.shown_length or LENGTH,
        )  # fmt: skip
        self.temperature = control(self._shown, "temperature")
        self.seed = control(self._shown, "seed")
        self.answer_length = control(self._shown, "max_new_tokens", "longest answer")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that a run starts with; None where nobody gave or moved a value."""
        loss = find_loss(self.loss.value)
        neutral = {name: MODIFIERS[name].neutral for name in loss.modifiers}
        values = dict[str, Any].fromkeys(MODIFIERS)
        for name, default in (loss.defaults | neutral).items():
            opened = self._values[name] == default and getattr(self._asked, name) is None
            values[name] = None if opened else self._values[name]
        return {"lr": self._values["lr"], "loss": loss.name, **values}

    def on_setting(self, callback: Callable[..., None]) -> None:
        """Call `callback(name=value, ...)` when the user changes live settings."""
        self._on_setting.append(callback)

    def show_values(self, settings: Mapping[str, Any]) -> None:
        """Put the settings of a run into the fields without telling of a change.

        A parameter that is left out or None stands for the default of the loss.
        """
        self._showing = threading.get_ident()
        try:
            name = settings.get("loss") or self.loss.value
            if name not in self.loss.options:
                self.loss.options = (*self.loss.options, name)
            self.loss.value = name
            loss = find_loss(name)
            neutral = {name: MODIFIERS[name].neutral for name in loss.modifiers}
            defaults = {"lr": self._asked.resolved().lr} | loss.defaults | neutral
            for name, widget in {"lr": self.lr, **self.parameters, **self.modifiers}.items():
                if name in defaults:
                    given = settings.get(name)
                    self._show_value(name, widget, defaults[name] if given is None else given)
            self._show_modifiers()
        finally:
            self._showing = None

    def _show_value(self, name: str, widget: widgets.DOMWidget, value: Any) -> None:
        self._values[name] = value
        widget.show(value) if isinstance(widget, NumberControl) else setattr(widget, "value", value)

    def _choose(self, settings: dict[str, Any]) -> None:
        self.show_values(settings)
        self._tell(**settings)

    def _tell(self, **settings: Any) -> None:
        if self._showing == threading.get_ident():
            return
        self.presets.leave(settings)
        for callback in self._on_setting:
            callback(**settings)

    def _follow(self, name: str, widget: widgets.DOMWidget) -> None:
        """Keep the widget's value and tell of its changes."""
        self._values[name] = widget.value

        def take(change: dict[str, Any]) -> None:
            self._values[name] = change["new"]
            self._tell(**{name: change["new"]})

        widget.observe(take, "value")

    def _change_loss(self, change: dict[str, Any]) -> None:
        """Offer the parameters of another loss: a value that was moved is kept, where it fits."""
        before, after = find_loss(change["old"]), find_loss(change["new"])
        for name in self.parameters:
            if self._values[name] != before.defaults[name]:
                self._moved[name] = self._values[name]
        values = after.pick(self._moved)
        self._offer_parameters(values)
        self._tell(loss=after.name, **values)

    def _make_modifiers(self) -> dict[str, widgets.DOMWidget]:
        given = {name: getattr(self._asked, name) for name in MODIFIERS}
        start = {n: MODIFIERS[n].neutral if value is None else value for n, value in given.items()}
        filled = TrainConfig(**start)
        made = {name: control(filled, name, name.replace("_", " ")) for name in MODIFIERS}
        for name, widget in made.items():
            self._follow(name, widget)
        made["divergence"].observe(lambda change: self._show_modifiers(), "value")
        return made

    def _offer_parameters(self, values: dict[str, Any]) -> None:
        """A control for each parameter of the loss. They are made anew with every loss, so that no
        widget is written to while the user moves it."""
        loss = find_loss(self.loss.value)
        filled = TrainConfig(loss=loss.name, **values)
        self.parameters = {
            name: control(filled, name, name.replace("_", " ")) for name in loss.parameters
        }
        for name, widget in self.parameters.items():
            self._follow(name, widget)
        self.parameter_row.children = tuple(self.parameters.values())
        self.about_loss.value = render("about_loss", summary=loss.summary, source=loss.source)
        self._show_modifiers()

    def _show_modifiers(self) -> None:
        """Those that the loss takes; alpha where it is that of the divergence chosen."""
        taken = find_loss(self.loss.value).modifiers
        hidden = {"divergence_alpha"} if self.modifiers["divergence"].value != "alpha" else set()
        for name, widget in self.modifiers.items():
            widget.layout.display = None if name in taken and name not in hidden else "none"
        self.modifier_box.layout.display = None if taken else "none"

    @property
    def sampling(self) -> SamplingConfig:
        """How the prompt is to be answered."""
        temperature = self.temperature.value
        same = math.isclose(temperature, self._shown.temperature)
        shown = self._shown if same else SamplingConfig(temperature=temperature)
        length = self.answer_length.value
        return replace(shown, seed=self.seed.value, max_new_tokens=length)

    @property
    def target(self) -> str | None:
        """The run that the controls act on; None for all there are."""
        chosen = self.runs.value
        return None if chosen == ALL or len(self.runs.options) == 1 else chosen

    @property
    def targets(self) -> set[str]:
        """The names of all runs that the controls act on."""
        return {self.target} if self.target else set(self.runs.options) - {ALL}

    def offer_runs(self, names: list[str]) -> None:
        """Offer the run and its branches in the menu; the newest is chosen."""
        self.runs.options = [*names, ALL] if len(names) > 1 else names
        self.runs.value = names[-1]
        self.runs.layout.visibility = "visible" if len(names) > 1 else "hidden"

    def offer_actions(self, busy: bool, held: bool, writing: bool) -> None:
        """Enable the buttons that can act: `busy` while a run goes on, `held` while it pauses."""
        self.buttons["Start"].disabled = busy
        for name in ("Pause", "Branch"):
            self.buttons[name].disabled = not busy
        self.buttons["Stop"].disabled = not (busy or writing)
        self.buttons["Pause"].description = "Resume" if held else "Pause"

    def arrange(self, out: Outputs, table: TableActions) -> widgets.VBox:
        """Inputs and outputs in one box."""

        def row(kind: str, *children: widgets.Widget) -> widgets.HBox:
            return widgets.HBox(children).add_class("wb-row").add_class(kind)

        *drive, generate = self.buttons.values()
        ask = row("wb-ask", self.prompt, self.temperature, self.seed, self.answer_length, generate)
        parts = [
            widgets.HTML(style("workbench", "answer_panes", "layout")).add_class("wb-style"),
            row("wb-settings", self.parameter_row, self.lr, self.loss, self.presets.menu),
            widgets.HBox([self.about_loss, self.modifier_box]).add_class("wb-loss-row"),
            self.presets.about,
            row("wb-drive", *drive, PressGuard(), self.runs),
            out.status,
            out.problem,
            widgets.VBox([out.curves, out.doctor]).add_class("wb-drawing"),
            widgets.VBox([ask, out.answer]).add_class("wb-asked-here"),
            out.samples,
            table.table,
            table.comparison,
            out.facts,
        ]
        return view_box([*parts, out.announcer], "wb-dashboard")
