"""The ballot: names only after the vote, every act on disk, one key one vote; then the training."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.iterative_dpo import MINIMUM, IterativeDPO
from workbench.feedback.votes import Question, Vote, append_vote, read_votes, votes_to_pairs
from workbench.runs.run_data import review_scores
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.view.html.render import verbatim
from workbench.view.live.one_line import RATE, OneLine
from workbench.view.live.worker import Worker
from workbench.view.plot.rounds_figure import draw_rounds
from workbench.view.votes import ballot, vote_widget
from workbench.view.votes.ballot import Ballot
from workbench.view.votes.vote_widget import BlindVotes, blind_votes

WORLD = ReviewsConfig(topics=4, pairs=64)
SHAPE = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
HOSTILE = (
    "<script>alert(1)</script>", '<img src=x onerror="alert(1)">', "&amp; &lt;b&gt;",
    "<|endoftext|>", "</script>", "\u202eto the left\u202c", "zero\u200bwidth",
)  # fmt: skip
NAMES = ("ada", "grace")


def questions(count: int = 4) -> list[Question]:
    return [Question(f"p{n}", f"one {n}", f"two {n}", *NAMES) for n in range(count)]


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "votes.jsonl"


@pytest.fixture
def rounds(path: Path) -> IterativeDPO:
    """An untrained model of some thousand weights that answers twelve prompts."""
    config = TrainConfig(world=WORLD, epochs=1, max_new_tokens=8)
    base = new_model(Reviews(WORLD), SHAPE)
    return IterativeDPO(config, base, Reviews(WORLD).prompts[:12], path)


@pytest.fixture
def board(rounds: IterativeDPO) -> BlindVotes:
    """A ballot with a clock of its own."""
    return BlindVotes(rounds, clock=Clock())


def act(board: BlindVotes, *keys: str) -> None:
    """Press keys with time between them."""
    for key in keys:
        board._clock.now += 1  # type: ignore[attr-defined]
        board.keys.value = key


def shown(board: BlindVotes) -> str:
    return "".join(part.value for part in board._html.values())


def test_ballot_goes_forth_and_back_and_every_vote_is_on_disk(path: Path) -> None:
    one = Ballot(questions(), path)
    one.cast("a")
    assert [vote.vote for vote in read_votes(path)] == ["a"]
    one.skip()
    assert one.current == questions()[2]
    one.cast("tie")
    assert (one.voted, one.skipped, one.total) == (2, 1, 4)
    assert one.undo()
    assert one.current == questions()[2]
    assert one.last is None
    assert one.undo()
    assert one.current == questions()[1]
    assert one.undo()
    assert not one.undo()
    assert read_votes(path) == []
    assert one.current == questions()[0]


def test_opened_anew_it_goes_on_and_asks_no_voted_pair_again(path: Path) -> None:
    one = Ballot(questions(), path)
    one.cast("b")
    one.skip()
    one.cast("bad")
    swapped = [Question(q.prompt, q.b, q.a, q.name_b, q.name_a) for q in questions()]
    other = Ballot(swapped, path)
    assert (other.voted, other.total) == (2, 4)
    assert [question.prompt for question in other._queue] == ["p1", "p3"]
    assert other.undo()
    assert [vote.prompt for vote in read_votes(path)] == ["p0"]
    assert other.current == swapped[2]


def test_votes_of_other_pairs_in_the_file_are_left_alone(path: Path) -> None:
    append_vote(path, Vote.cast(Question("other", "x", "y", *NAMES), "a"))
    one = Ballot(questions(), path)
    assert one.voted == 0
    assert not one.undo()


def test_vote_that_cannot_be_written_does_not_count(
    board: BlindVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, vote: Vote) -> None:
        raise WorkbenchError("votes can't be written to <it>: no space left")

    before = board.ballot.current
    monkeypatch.setattr(ballot, "append_vote", full)
    act(board, "a")
    assert board.ballot.current == before
    assert "no space left" in shown(board)
    assert "&lt;it&gt;" in shown(board)
    monkeypatch.undo()
    act(board, "a")
    assert board.ballot.voted == 1
    assert "no space left" not in shown(board)


@pytest.mark.parametrize("text", HOSTILE)
def test_all_text_is_escaped(text: str) -> None:
    question = Question(text, text, text + "2", f"{text} x", f"{text} y")
    vote = Vote.cast(question, "a")
    for html in (ballot.question_card(question), ballot.reveal(vote), ballot.tally([vote])):
        assert "<script" not in html
        assert "<img" not in html
        assert re.search(r"<bdi>.+</bdi>", html)


def test_names_come_after_the_vote(board: BlindVotes) -> None:
    everything = json.dumps([part.get_state() for part in board._html.values()], default=str)
    assert "sample" not in everything + board.html
    act(board, "b")
    vote = read_votes(board.rounds.file)[0]
    assert f"A was <b><bdi>{vote.name_a}</bdi></b>" in shown(board)
    act(board, "u")
    assert "sample" not in shown(board)


def test_keys_and_buttons_do_the_same(board: BlindVotes) -> None:
    act(board, "a", "B", "t", "x", "s", "q", " ")
    assert [vote.vote for vote in read_votes(board.rounds.file)] == ["a", "b", "tie", "bad"]
    assert board.ballot.skipped == 1
    assert board.keys.value == ""
    for key, button in board.buttons.items():
        board._clock.now += 1  # type: ignore[attr-defined]
        button.click()
        assert (board.ballot.voted, board.ballot.skipped) == {
            "a": (5, 1), "b": (6, 1), "t": (7, 1), "x": (8, 1), "s": (8, 2), "u": (8, 1)
        }[key]  # fmt: skip


def test_key_that_is_held_down_votes_once(board: BlindVotes) -> None:
    act(board, "a")
    for _ in range(50):
        board._clock.now += 0.5  # type: ignore[attr-defined]
        board.keys.value = "a"
        board.buttons["a"].click()
    assert board.ballot.voted == 1
    act(board, "aa")
    assert board.ballot.voted == 2


def test_training_waits_for_enough_votes_and_then_the_new_policy_answers(
    board: BlindVotes,
) -> None:
    act(board, *"a" * (MINIMUM - 1))
    assert board.train_button.disabled
    lacking = f"{MINIMUM - 1} of at least {MINIMUM} for A or B"
    assert lacking in board.train_button.description
    act(board, "b")
    assert not board.train_button.disabled
    before = board.ballot.current
    board.train_button.click()
    act(board, "a")  # meanwhile, or too soon after: it meant another pair
    assert board.join(60)
    assert board.rounds.number == 1
    assert board.ballot.voted == 0
    assert board.ballot.current != before
    assert 'data-round="1"' in shown(board)
    assert "round 1 is trained" in shown(board)
    assert "<td>1</td>" in board._html["table"].value
    assert board.train_button.description.startswith(vote_widget.TRAIN)
    assert len(votes_to_pairs(board.rounds.file, 0).pairs) == MINIMUM
    act(board, "a")
    assert board.ballot.voted == 1


def test_training_can_be_stopped_and_the_policy_stays(board: BlindVotes) -> None:
    act(board, *"a" * MINIMUM)
    model = board.rounds.model
    board.train_button.click()
    assert board.train_button.description == vote_widget.STOP
    board.train_button.click()
    assert board.join(60)
    assert board.rounds.model is model or board.rounds.number == 1  # it may have been too late
    if board.rounds.number == 0:
        assert "the policy is as it was" in shown(board)
        assert board.ballot.voted == MINIMUM


def test_a_stop_that_comes_too_late_begins_nothing(
    board: BlindVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(board, *"a" * MINIMUM)
    adopt, adopting, go_on = board.rounds.adopt, threading.Event(), threading.Event()

    def slowly(run: Any) -> None:
        adopting.set()
        assert go_on.wait(30)
        adopt(run)

    monkeypatch.setattr(board.rounds, "adopt", slowly)
    board.train_button.click()
    assert adopting.wait(60)
    worker = board.worker
    board.train_button.click()  # returns at once
    go_on.set()
    assert board.join(60)
    assert board.worker is worker
    assert board.rounds.number == 1


def test_training_that_fails_is_told_and_the_policy_stays(
    board: BlindVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(board, *"a" * MINIMUM)

    def broken(progress: Any) -> Any:
        raise WorkbenchError("the loss is <no> number")

    monkeypatch.setattr(board.rounds, "begin", broken)
    board.train_button.click()
    with pytest.raises(WorkbenchError):
        board.join(60)
    assert "the loss is &lt;no&gt; number" in shown(board)
    assert board.rounds.number == 0
    act(board, "a")
    assert board.ballot.voted == MINIMUM + 1


def test_without_a_person_a_voter_votes_and_trains_within_the_cell(rounds: IterativeDPO) -> None:
    board = blind_votes(rounds, live=False, voter=lambda question: "b")
    assert board.ballot.current is None
    assert "no pair is left" in board.html
    assert "is better" in board.html
    board.train()
    assert board.rounds.number == 1
    assert "round 2" in board.html
    same = IterativeDPO(
        rounds.config, new_model(Reviews(WORLD), SHAPE), rounds.prompts, rounds.file
    )
    again = blind_votes(same, live=False)
    assert again.rounds.number == 1  # what was trained is not trained again
    assert again.ballot.current == board.ballot.current


def test_it_shows_html_beside_the_widget(
    board: BlindVotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles: list[Any] = []
    monkeypatch.setattr(vote_widget, "display", lambda what, raw=False: bundles.append(what))
    monkeypatch.setattr(vote_widget, "show", bundles.append)
    board._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in bundles[0]
    assert bundles[0]["text/html"] == verbatim(board.html)
    board.live = False
    board._ipython_display_()
    assert bundles[1] == board.html


def test_what_is_given_in_the_wrong_place_is_refused(rounds: IterativeDPO, path: Path) -> None:
    with pytest.raises(WorkbenchError, match="belong to IterativeDPO"):
        blind_votes(rounds, file=path)


def test_rounds_are_drawn_and_listed_with_dashes_where_nothing_is_known(
    rounds: IterativeDPO, path: Path, figure_texts: Callable[[Any], str]
) -> None:
    frame = pd.DataFrame(
        [
            {"round": 0, "reward": -0.1, "grammatical": 1.0},
            {"round": 1, "pairs": 9, "skipped": 1, "agreement": float("nan"), "right": 0.8,
             "reward": 0.3, "grammatical": 0.9, "win_rate": 0.7, "low": 0.6, "high": 0.8,
             "win_rate_first": 0.7},
        ]
    )  # fmt: skip
    table = ballot.rounds_table(frame)
    assert "−0.10" in table
    assert "–" in table
    written = figure_texts(draw_rounds(frame))
    assert "+0.30" in written
    assert "70%" in written
    assert draw_rounds(frame[:1]) is not None
    assert review_scores(Reviews(WORLD))("how was the film?", "the plot was good.")["reward"] > 0


@pytest.fixture
def figure_texts() -> Callable[[Any], str]:
    """All that is written in a figure."""
    return lambda figure: " ".join(t.get_text() for axes in figure.axes for t in axes.texts)


def test_the_line_of_a_run_is_left_to_the_view_at_its_end(fake_run: Any) -> None:
    said: list[str] = []
    worker = Worker(
        lambda progress: fake_run(), OneLine(said.append, lambda worker: said.append("trained"))
    )
    worker.run_here()
    time.sleep(1.5 / RATE)
    worker._screen.refresh(worker)
    assert said[-1] == "trained"
