"""Critiques, revisions and choices by a chat model: form, tries, both orders, and their count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.compare.model_handles import ModelHandle
from workbench.data.pairs import read_pairs
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.chat_critic import ChatCritic
from workbench.feedback.constitution.chats import GrammarWriter, LocalChat
from workbench.feedback.constitution.critics import (
    Answered,
    BiasedCritic,
    Critique,
    RuleCritic,
)
from workbench.feedback.constitution.editing import drop_pairs, edit_pair, swap_pairs
from workbench.feedback.constitution.feedback_pairs import (
    feedback,
    feedback_frame,
    read_feedback,
    write_feedback,
)
from workbench.feedback.constitution.labelling import Label, label, label_answers
from workbench.feedback.constitution.measures import (
    critiques_against_rules,
    label_biases,
    labels_against_rules,
)
from workbench.feedback.constitution.principles import PRINCIPLES
from workbench.feedback.constitution.revising import NEVER, Revision, revise, stream_revision
from workbench.generation.config import SamplingConfig

KIND = PRINCIPLES[0]
CASE = Answered("how was it?", "awful.", KIND)
WORLD = Reviews()


def by_kind(critique="Yes.", revision="better", choice=0.5, answer="an answer"):
    """A reply function: what a critic, a reviser, a chooser and a writer say."""

    def reply(text, seed):
        said = {"Rewrite": revision, "Does the answer": critique, "Which answer": choice}
        found = next((value for part, value in said.items() if part in text), answer)
        return found(text, seed) if callable(found) else found

    return reply


@pytest.mark.parametrize(
    ("reply", "broken"),
    [
        ("Yes, it blames.", True), ("no", False), ('"No."', False), ("The answer is: Yes", True),
        ("Yesterday was fine", None), ("", None), ("It has no fault", None), ("Nothing", None),
    ],
)  # fmt: skip
def test_a_critique_has_to_begin_with_yes_or_no(reply, broken):
    assert Critique.of(reply) == Critique(reply, broken)


def test_what_is_not_in_form_is_asked_for_again_with_another_seed(fake_chat):
    chat = fake_chat(lambda text, seed: "No." if seed == 12 or "good" in text else "Well")
    cases = [CASE, CASE._replace(answer="good.")]
    found = ChatCritic(chat, tries=3).critiques(cases, seed=10)
    assert [critique.broken for critique in found] == [False, False]
    assert [seed for _, seed in chat.asked] == [10, 10, 11, 12]
    assert ["good" in text for text, _ in chat.asked] == [False, True, False, False]


def test_tries_are_counted_and_the_last_reply_is_kept(fake_chat):
    chat = fake_chat(lambda text, seed: f"Well {seed}")
    (found,) = ChatCritic(chat, tries=2).critiques([CASE], seed=5)
    assert found == Critique("Well 6", None)
    assert len(chat.asked) == 2
    with pytest.raises(WorkbenchError, match="tries=0 is not accepted"):
        ChatCritic(chat, tries=0)


def test_every_answer_without_a_pair_is_counted_with_its_reason(fake_chat):
    said = {
        "first": ("Yes", "better"), "second": ("No", ""), "third": ("Well", ""),
        "fourth": ("Yes", ""), "fifth": ("Yes", "fifth answer"),
    }  # fmt: skip
    number = lambda text: next(name for name in said if name in text)  # noqa: E731
    chat = fake_chat(
        by_kind(
            lambda text, seed: said[number(text)][0],
            lambda text, seed: said[number(text)][1],
            answer=lambda text, seed: f"{text} answer",
        )
    )
    found = feedback(revise([*said], [KIND], chat, ChatCritic(chat, 2)))
    assert found.counts == {
        "pairs": 1, "the critic finds the principle kept": 1,
        "critique not in form after 2 tries": 1, "no revision after 2 tries": 1,
        "the revision is the original": 1,
    }  # fmt: skip
    assert [row.row for row in found.skipped] == [2, 3, 4, 5]
    (pair,) = found.pairs
    assert (pair.prompt, pair.chosen, pair.rejected) == ("first", "better", "first answer")
    assert (pair.critique, pair.original, pair.kind) == ("Yes", "first answer", "revision")


def test_a_critic_that_never_answers_in_form_is_given_up_with_one_line(fake_chat):
    chat = fake_chat(by_kind("Well,\nhm"))
    prompts = [f"p{number}" for number in range(50)]
    with pytest.raises(WorkbenchError) as error:
        list(revise(prompts, [KIND], chat, ChatCritic(chat, 3)))
    assert str(error.value) == (
        "critic fake did not answer in form for 8 answers in a row, 3 tries each; its last reply "
        "was 'Well,\\nhm'; use another critic"
    )
    assert len(chat.asked) == 50 + 3 * NEVER
    with pytest.raises(WorkbenchError, match="no pair came of 3 answers: 3 critique not in form"):
        feedback(revise(prompts[:3], [KIND], chat, ChatCritic(chat, 3)))


@pytest.mark.parametrize(
    ("prompts", "principles", "told"),
    [
        ([], [KIND], "prompts is empty"),
        (["fine", " \n"], [KIND], "prompt 2 is empty"),
        (["fine"], [], "principles is empty"),
        (["fine"], [KIND, KIND], "principle 'kind' is given twice"),
    ],
)
@pytest.mark.parametrize("way", [revise, label])
def test_empty_prompts_and_principles_are_refused_before_anything_is_asked(
    fake_chat, way, prompts, principles, told
):
    chat = fake_chat(by_kind())
    with pytest.raises(WorkbenchError, match=told):
        list(way(prompts, principles, chat, ChatCritic(chat)))
    assert chat.asked == []


def test_a_repeated_prompt_gets_another_answer_and_others_do_not_matter():
    writer = GrammarWriter(WORLD)
    three = list(revise([WORLD.prompts[0]] * 3, [KIND], writer, RuleCritic(), 1))
    assert len({one.original for one in three}) == 3
    more = list(revise([*WORLD.prompts, WORLD.prompts[0]], [KIND], writer, RuleCritic(), 1))
    assert [more[0].original, more[-1].original] == [one.original for one in three[:2]]


def test_the_stages_stream_one_after_the_other(fake_chat):
    chat = fake_chat(by_kind("Yes it is", "good one", answer="bad one"))
    found = list(stream_revision("p", KIND, chat, ChatCritic(chat)))
    assert found == [
        ("bad", "", ""), ("bad one", "", ""), ("bad one", "Yes", ""), ("bad one", "Yes it", ""),
        ("bad one", "Yes it is", ""), ("bad one", "Yes it is", "good"),
        ("bad one", "Yes it is", "good one"),
    ]  # fmt: skip
    kept = fake_chat(by_kind("No.", "never", answer="fine"))
    assert list(stream_revision("p", KIND, kept, ChatCritic(kept)))[-1] == ("fine", "No.", "")


# -- labels ---------------------------------------------------------------------------------------


def a_is(chance_first, chance_second):
    """A chooser that gives "good" these probabilities where it is shown first and second."""
    return by_kind(
        choice=lambda text, seed: chance_first if "A: good" in text else 1 - chance_second
    )


@pytest.mark.parametrize(
    ("first", "second", "chosen", "scores"),
    [
        (0.9, 0.7, "good", (0.9, 0.7)),
        (0.9, 0.2, "good", (0.9, 0.2)),  # mean 0.55: the orders disagree
        (0.6, 0.1, "bad", (0.9, 0.4)),  # of the chosen, shown first: 1 - 0.1
    ],
)
def test_both_orders_are_asked_and_averaged(fake_chat, first, second, chosen, scores):
    critic = ChatCritic(fake_chat(a_is(first, second)))
    labels = label_answers([(Answered("p", "good", KIND), "bad")], critic)
    (pair,) = feedback(labels).pairs
    assert pair.chosen == chosen
    assert (pair.score_first, pair.score_second) == pytest.approx(scores)
    assert pair.score == pytest.approx(sum(scores) / 2)


def made_label(a_first, a_second, a="one two", b="one", principle=KIND):
    return Label("p", a, b, principle, a_first, a_second, "writer", "critic", 0)


def test_labels_without_a_winner_are_counted():
    labels = [
        made_label(0.9, 0.8), made_label(1.0, 0.0), made_label(None, 0.9),
        made_label(0.9, 0.9, b="one two"), made_label(0.9, 0.9, b=" "),
    ]  # fmt: skip
    assert feedback(labels).counts == {
        "pairs": 1, "a tie": 1, "choice not in form": 1, "both answers are the same": 1,
        "rejected is empty": 1,
    }  # fmt: skip


def test_biases_by_hand():
    # First position: a/b in the first order, b/a in the second. Of 8 questions it wins in the
    # label (.9, .2) twice, in (.9, .8) once, in (.1, .3) once, in (.5, .5) half of twice.
    labels = [made_label(0.9, 0.2), made_label(0.9, 0.8), made_label(0.1, 0.3),
              made_label(0.5, 0.5), made_label(None, 0.9)]  # fmt: skip
    found = label_biases(labels).set_index("what")
    assert found.share["first position wins"] == pytest.approx((2 + 1 + 1 + 1) / 8)
    assert found.share["orders disagree"] == pytest.approx(1 / 4)
    assert found.share["longer wins"] == pytest.approx(2 / 3)  # .55 and .85, not .2; .5 is a tie
    assert found["count"].tolist() == [4, 4, 3]


def test_agreement_with_the_rule_by_hand():
    kind, blame = "the plot was good.", "the plot was poor."
    labels = [
        made_label(0.9, 0.2, kind, blame), made_label(0.4, 0.3, kind, blame),
        made_label(None, 0.9, kind, blame), made_label(0.9, 0.9, kind, kind + " i liked it."),
    ]  # fmt: skip
    found = labels_against_rules(labels).set_index("what")
    assert found["count"].tolist() == [3, 3, 3]
    assert found.share.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_critiques_against_the_rule_by_hand():
    base = Revision("how was the film?", "the plot was poor.", KIND, "Yes", True, None, "w", "c",
                    3, 0)  # fmt: skip
    told = [
        replace(base, revision="The plot was good."), replace(base, revision="Sorry."),
        replace(base, revision="it was dull."), replace(base, broken=False),
        replace(base, original="the plot was good."), replace(base, broken=None),
    ]  # fmt: skip
    found = critiques_against_rules(told).set_index("what")
    assert found.share.to_dict() == pytest.approx(
        {
            "in form": 5 / 6, "says broken": 4 / 5, "is broken": 4 / 5, "agrees": 3 / 5,
            "mended": 2 / 3, "mended, still a review": 1 / 3,
        }
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_swapping_cancels_the_bias_for_a_position_and_not_that_for_length(seed):
    """The claims of lesson 09, on reviews from the grammar."""
    prompts = [*WORLD.prompts] * 3

    def measured(critic):
        given = list(label(prompts, [KIND], GrammarWriter(WORLD), critic, seed))
        biases, rules = label_biases(given), labels_against_rules(given)
        return {**biases.set_index("what").share, **rules.set_index("what").share}

    fair, first, longer = (
        measured(critic)
        for critic in (
            RuleCritic(), BiasedCritic(RuleCritic(), first=3.0),
            BiasedCritic(RuleCritic(), longer=0.5),
        )
    )  # fmt: skip
    assert (fair["first position wins"], fair["orders disagree"]) == (0.5, 0)
    assert first["first position wins"] == first["orders disagree"] == 1
    assert 0.3 < first["agrees, a shown first"] < 0.7
    assert first["agrees, averaged"] == fair["agrees, averaged"] == 1
    assert (longer["first position wins"], longer["orders disagree"]) == (0.5, 0)
    assert longer["longer wins"] > fair["longer wins"] + 0.3
    assert longer["agrees, averaged"] < 0.8


# -- files and edits ------------------------------------------------------------------------------


@pytest.fixture
def pairs():
    records = list(revise(WORLD.prompts[:20], PRINCIPLES, GrammarWriter(WORLD), RuleCritic(), 0))
    labels = list(label(WORLD.prompts[:9], [KIND], GrammarWriter(WORLD), RuleCritic(), 0))
    return feedback([*records, *labels]).pairs


def test_the_file_gives_the_pairs_back_and_every_reader_takes_it(pairs, tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_feedback(pairs, path)
    assert read_feedback(path) == pairs
    read = read_pairs(path)
    assert [(p.prompt, p.chosen, p.rejected) for p in read.pairs] == [
        (p.prompt, p.chosen, p.rejected) for p in pairs
    ]
    assert {pair.kind for pair in pairs} == {"revision", "label"}
    frame = feedback_frame(pairs)
    assert frame["score"].notna().tolist() == [pair.kind == "label" for pair in pairs]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"prompt": "p", "chosen": "c"}', "row 1: no column 'rejected'"),
        ('{"prompt": 3, "chosen": "c", "rejected": "r"}', "row 1: prompt is 3"),
        ("[[1]]", "row 1: it is list"),
    ],
)
def test_a_file_edited_wrongly_by_hand_is_one_line(tmp_path, row, told):
    (tmp_path / "pairs.jsonl").write_text(row)
    with pytest.raises(WorkbenchError, match=told):
        read_feedback(tmp_path / "pairs.jsonl")


def test_pairs_are_dropped_swapped_and_edited_by_number_and_by_rule(pairs):
    assert drop_pairs(pairs, [1, 2]) == pairs[2:]
    assert all(p.kind == "label" for p in drop_pairs(pairs, lambda p: p.kind == "revision"))
    last = pairs[-1]
    swapped = swap_pairs(pairs, [len(pairs)])[-1]
    assert (swapped.chosen, swapped.rejected) == (last.rejected, last.chosen)
    assert (swapped.score_first, swapped.score_second) == (0.0, 0.0)
    assert swap_pairs([swapped], [1])[0] == replace(last, edited="swapped, swapped")
    edited = edit_pair(last, chosen="better", prompt=last.prompt)
    assert (edited.chosen, edited.edited) == ("better", "chosen edited")
    assert edit_pair(last, chosen=last.chosen) is last
    with pytest.raises(WorkbenchError, match="pair 0 does not exist; accepted: 1 to"):
        drop_pairs(pairs, [0])
    with pytest.raises(WorkbenchError, match="critique: not to be edited"):
        edit_pair(last, critique="x")


def test_what_can_not_be_trained_on_is_not_written(pairs, tmp_path):
    broken = [pairs[0], edit_pair(pairs[1], chosen=" ")]
    with pytest.raises(WorkbenchError, match="pair 2: chosen is empty; edit or drop it"):
        write_feedback(broken, tmp_path / "pairs.jsonl")
    with pytest.raises(WorkbenchError, match="no pair is left"):
        write_feedback([], tmp_path / "pairs.jsonl")
    assert [*tmp_path.iterdir()] == []


# -- a local model --------------------------------------------------------------------------------


def test_a_local_reply_depends_on_text_and_seed_only(trained):
    chat = LocalChat(
        ModelHandle("tiny", trained.policy, trained.tokenizer), SamplingConfig(max_new_tokens=8)
    )
    texts = [WORLD.prompts[number % 7] for number in range(10)]
    found = dict(chat.replies(texts, 1))
    assert [found[index] for index in (7, 8, 9)] == [found[index] for index in (0, 1, 2)]
    assert dict(chat.replies(texts[3:4], 1)) == {0: found[3]}
    assert dict(chat.replies(texts, 2)) != found
    assert [*chat.stream(texts[0], 1)][-1].strip() == found[0]


def test_a_local_choice_is_the_probability_of_the_next_token(trained):
    handle = ModelHandle("tiny", trained.policy, trained.tokenizer)
    chat, prompt = LocalChat(handle), WORLD.prompts[0]
    ((_, chance),) = chat.chances([prompt], ("good", "poor"), 0)
    ids = trained.tokenizer.render_prompt(prompt)
    good, poor = (
        handle.token_logps([(ids, trained.tokenizer.encode(word))])[0].sum().exp().item()
        for word in ("good", "poor")
    )
    assert chance == pytest.approx(good / (good + poor), rel=1e-4)
    ((_, other),) = chat.chances([prompt], ("poor", "good"), 0)
    assert chance + other == pytest.approx(1)


def test_models_are_told_apart_by_weights_and_sampling(trained):
    handle = ModelHandle("tiny", trained.policy, trained.tokenizer)
    one, cold = LocalChat(handle), LocalChat(handle, SamplingConfig(temperature=0))
    assert one.identity == LocalChat(handle, SamplingConfig(seed=7)).identity
    assert one.identity != cold.identity
    assert len(one.identity["hash"]) == 16
