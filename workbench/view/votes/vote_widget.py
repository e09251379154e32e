"""Blind votes: two answers to one prompt, a vote, and the next policy trained on the votes.

Which model's answer is A is decided at random and revealed after the vote. Every vote is on disk
before the next pair is shown. Widgets of a notebook receive no key presses, so the text field
*keys* takes them: a letter that is typed there votes and is cleared at once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from workbench.errors import WorkbenchError
from workbench.feedback.iterative_dpo import MINIMUM, IterativeDPO
from workbench.feedback.questions import Voter
from workbench.feedback.votes import damaged_votes, read_votes
from workbench.runs.run import Run
from workbench.view.cell_output import beside, show
from workbench.view.controls.view_box import view_box
from workbench.view.html.elements import error_card
from workbench.view.html.render import render, style
from workbench.view.live.one_line import OneLine
from workbench.view.live.screen_protocol import Driver
from workbench.view.live.worker import Worker
from workbench.view.votes import ballot

# Letter -> label of its button.
ACTIONS = {
    "a": "A is better", "b": "B is better", "t": "Tie", "x": "Both bad", "s": "Skip", "u": "Undo",
}  # fmt: skip
VOTES = {"a": "a", "b": "b", "t": "tie", "x": "bad"}
# Seconds in which a second key or click is ignored: longer than the delay after which a key that is
# held down repeats, shorter than it takes to read.
PAUSE = 0.7
TRAIN, STOP = "Train on these votes", "Stop training"


def blind_votes(
    of: Run | IterativeDPO,
    file: str | Path | None = None,
    prompts: Sequence[str] = (),
    live: bool = True,
    voter: Voter | None = None,
    seed: int = 0,
) -> BlindVotes:
    """Vote on pairs of answers: an object that displays itself as the last line of a cell.

    Args:
        of: a run, whose policy answers against its reference; or an `IterativeDPO`.
        file: JSONL of the votes, for a run. Where it exists the voting goes on.
        prompts: for a run; its own where left out.
        live: False leaves out widgets, for notebooks that run unattended.
        voter: votes on all of this round's pairs at once, instead of a person.
        seed: of answers and sides, for a run.

    Raises:
        WorkbenchError: the file can't be written or holds something else.
    """
    if isinstance(of, Run):
        if file is None:
            raise WorkbenchError("file is missing: name a JSONL file for the votes on this run")
        of = IterativeDPO.after(of, file, prompts, seed)
    elif file is not None or prompts:
        raise WorkbenchError("file and prompts belong to IterativeDPO; leave them out here")
    board = BlindVotes(of, live)
    if voter is not None:
        board.vote_all(voter)
    return board


class BlindVotes:
    """What `blind_votes` makes.

    Attributes:
        rounds: policy, votes and training; `rounds.model` is the policy as it is now.
        ballot: the questions of this round and their votes.
        worker: trains, or has trained, the policy of the last round; None before the first.
        box: all of it, as a widget.
    """

    def __init__(
        self, rounds: IterativeDPO, live: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rounds, self.live = rounds, live
        self.worker: Worker | None = None
        self._clock, self._acted = clock, -PAUSE
        self._lock = threading.RLock()  # callbacks may come on any thread
        self._html = {
            name: widgets.HTML().add_class(f"wb-{name}")
            for name in ("where", "question", "before", "problem", "told", "table")
        }
        self.buttons = {
            key: widgets.Button(description=text).add_class(f"wb-vote-{key}")
            for key, text in ACTIONS.items()
        }
        hint = "or type here: a, b, t tie, x bad, s skip, u undo"
        self.keys = widgets.Text(placeholder=hint, continuous_update=True).add_class("wb-keys")
        self.train_button = widgets.Button(description=TRAIN).add_class("wb-train")
        self.box = self._arrange()
        self.rounds.catch_up()
        self._ask()
        for key, button in self.buttons.items():
            button.on_click(partial(self._clicked, key))
        self.keys.observe(self._typed, "value")
        self.train_button.on_click(lambda button: self.train())

    # -- voting ---------------------------------------------------------------------------------

    def act(self, key: str) -> None:
        """The action of a letter of `ACTIONS`; ignored within `PAUSE` seconds of another one."""
        with self._lock:
            before, self._acted = self._acted, self._clock()
            if self._busy or self._acted - before < PAUSE:
                return
            try:
                if key in VOTES:
                    self.ballot.cast(VOTES[key])
                elif key == "s":
                    self.ballot.skip()
                else:
                    self.ballot.undo()
                self._html["problem"].value = ""
            except WorkbenchError as error:
                self._html["problem"].value = error_card(error)
            self._show()

    def vote_all(self, voter: Voter) -> None:
        """Let `voter` vote on all remaining pairs of this round."""
        while self.ballot.current is not None:
            self.ballot.cast(voter(self.ballot.current))
        self._show()

    def _clicked(self, key: str, button: widgets.Button) -> None:
        self.act(key)
        self.keys.focus()  # with a button in focus, letters would be commands of the notebook

    def _typed(self, change: dict[str, Any]) -> None:
        letters = change["new"].strip().lower()
        if change["new"]:
            self.keys.value = ""
        if letters[:1] in ACTIONS and letters:
            self.act(letters[0])

    # -- training -------------------------------------------------------------------------------

    def train(self) -> None:
        """Train the next policy on this round's votes and ask about its answers; or stop training.

        In a notebook on a thread, so that the page stays responsive; `join` waits for it.
        """
        if self._busy:  # decided before waiting for the lock, or a second click would train twice
            assert self.worker is not None
            return self.worker.stop()
        with self._lock:
            self._html["problem"].value = ""
            self.worker = Worker(self.rounds.begin, OneLine(self._tell, self._trained))
        self._show()
        if self.live and "google.colab" not in sys.modules:
            self.worker.start()
        else:
            self.worker.run_here()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the training has ended; whether it has. Raises the error that ended it."""
        return self.worker is None or self.worker.join(timeout)

    @property
    def _busy(self) -> bool:
        return self.worker is not None and not self.worker.closed

    def _tell(self, text: str) -> None:
        self._html["told"].value = render("told", text=text)

    def _trained(self, worker: Driver) -> None:
        """Begin the next round, or show what went wrong; on the worker's thread."""
        run_state = next(iter(worker.run_states.values()), None)
        with self._lock:
            try:
                if worker.error is not None:
                    self._html["problem"].value = error_card(worker.error)
                    self._tell("nothing was trained; the policy is as it was")
                elif run_state is None or run_state.ended != "finished":
                    self._tell("training was stopped, the policy is as it was; the button goes on")
                else:
                    self._tell("the new policy answers")
                    self.rounds.adopt(run_state.run)
                    self._ask()
                    self._tell(f"round {self.rounds.number} is trained; its policy answers now")
            finally:
                worker.close()
                self._acted = self._clock()  # keys pressed meanwhile were meant for another pair
                self._show()

    # -- showing --------------------------------------------------------------------------------

    def _ask(self) -> None:
        asked = self.rounds.ask()
        self.ballot = ballot.Ballot(asked.questions, self.rounds.file)
        left_out = [f"identical or asked already: {asked.identical}"] if asked.identical else []
        left_out += [f"line {row.row}: {row.reason}" for row in damaged_votes(self.rounds.file)]
        if left_out:
            self._tell(f"left out: {'; '.join(left_out)}")
        self._show()

    def _show(self) -> None:
        usable, html = len(self.rounds.pairs().pairs), self._html
        html["where"].value = ballot.progress(self.ballot, self.rounds.number)
        html["question"].value = ballot.question_card(self.ballot.current)
        html["before"].value = ballot.reveal(self.ballot.last)
        if self.rounds.number:
            html["table"].value = ballot.rounds_table(self.rounds.frame())
        for key, button in self.buttons.items():
            button.disabled = self._busy or (key != "u" and self.ballot.current is None)
        self.keys.disabled = self._busy
        self.train_button.disabled = not self._busy and usable < MINIMUM
        lacking = f" ({usable} of at least {MINIMUM} for A or B)" if usable < MINIMUM else ""
        self.train_button.description = STOP if self._busy else TRAIN + lacking

    def _arrange(self) -> widgets.VBox:
        html = self._html
        sheets = widgets.HTML(style("workbench", "votes")).add_class("wb-style")
        buttons = widgets.HBox([self.keys, *self.buttons.values()]).add_class("wb-row")
        training = widgets.HBox([self.train_button, html["told"]]).add_class("wb-row")
        shown = [sheets, html["where"], html["question"], buttons, html["problem"], html["before"]]
        return view_box([*shown, training, html["table"]], "wb-votes", "wb-dashboard")

    @property
    def html(self) -> str:
        """The same without widgets: the question, or the newest votes when all are cast."""
        where = ballot.progress(self.ballot, self.rounds.number)
        if self.ballot.current is not None:
            return where + ballot.question_card(self.ballot.current)
        return where + ballot.tally(read_votes(self.rounds.file))

    def _ipython_display_(self) -> None:
        if self.live:
            display(beside(self.box, self.html), raw=True)
        else:
            show(self.html)
