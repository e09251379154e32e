"""Stop strings: within a token, over several, and never in the prompt."""

import pytest
import torch

from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import drafts, generate
from workbench.generation.stops import Stops, cut

PIECES = ["<end>", "al", "pha", " be", "ta", ".\n", "x", "é", "", "User", ":"]
END = 0


def decode(ids) -> str:
    return "".join(PIECES[index] for index in ids if index != END)


class Scripted(Transformer):
    """Says what stands in its script, whatever it is asked; a prompt's last token chooses it."""

    def __init__(self, scripts: dict[int, list[int]]) -> None:
        super().__init__(TransformerConfig(len(PIECES), dim=8, layers=1, heads=2, hidden_dim=8))
        self.scripts = scripts

    def hidden(self, tokens, positions=None, mask=None, cache=None):
        if cache.length == 0:
            self.first, self.steps = tokens[:, -1].tolist(), 0
        return super().hidden(tokens, positions, mask, cache)

    def head(self, hidden):
        logits = torch.zeros(*hidden.shape[:-1], len(PIECES))
        for row in range(len(logits)):
            script = self.scripts[self.first[row % len(self.first)]]
            logits[row, script[min(self.steps, len(script) - 1)]] = 9.0
        self.steps += 1
        return logits


def write(script: list[int], *stop: str, prompt: tuple[int, ...] = (1,), count: int = 8) -> str:
    config = SamplingConfig(temperature=0, stop=stop, max_new_tokens=count)
    policy = Scripted({prompt[-1]: script})
    (ids,) = generate(policy, [list(prompt)], config, {END}, pad_id=END, decode=decode)
    return decode(ids)


def test_an_answer_ends_with_the_token_that_completes_a_stop_string() -> None:
    script = [1, 2, 3, 4, 5, 6, 6, 6]  # "al" "pha" " be" "ta" ".\n" "x" ...
    assert write(script) == "alpha beta.\nxxx"
    assert write(script, "\n") == "alpha beta.\n"  # inside one token
    assert write(script, "beta") == "alpha beta"  # over two
    assert write(script, "a b") == "alpha be"  # from inside one token into the next
    assert write(script, "alpha beta.") == "alpha beta.\n"  # over five
    assert write(script, "gamma") == "alpha beta.\nxxx"
    assert write(script, "beta", "pha") == "alpha"  # whichever comes first


def test_the_text_is_cut_before_the_first_stop_string() -> None:
    assert cut("alpha be", ("a b",)) == "alph"
    assert cut("alpha beta.\n", ("\n", "beta.")) == "alpha "
    assert cut("alpha", ("x",)) == cut("alpha", ()) == "alpha"
    assert cut("alpha", ("alpha",)) == ""


def test_a_stop_string_in_the_prompt_ends_nothing() -> None:
    assert write([1, 2, END], "x", prompt=(6, 6, 6)) == "alpha"


def test_a_stop_string_never_reaches_from_the_prompt_into_the_answer() -> None:
    """ "al" stands at the end of the prompt, "pha" begins the answer."""
    assert write([2, 6, END], "alpha", prompt=(1,)) == "phax"


def test_tokens_without_text_end_nothing_and_end_tokens_end_all() -> None:
    assert write([9, 8, 8, 10, 6], "User:") == "User:"
    assert write([1, END, 2], "pha") == "al"


def test_each_row_ends_for_itself() -> None:
    policy = Scripted({1: [1, 2, 6, 6], 3: [6, 6, 6, 1], 7: [6, END, 6, 6]})
    config = SamplingConfig(temperature=0, stop=("alpha",), max_new_tokens=4)
    prompts = [[1], [2, 3], [7]]
    found = list(drafts(policy, prompts, config, {END}, pad_id=8, decode=decode))
    assert found[-1] == [[1, 2], [6, 6, 6, 1], [6]]
    assert [len(texts[0]) for texts in found] == [1, 2, 2, 2]


def test_a_beam_ends_at_a_stop_string() -> None:
    policy = Scripted({1: [1, 2, 3, 4, 6, 6]})
    for stop, text in ((("beta",), "alpha beta"), ((), "alpha betaxx")):
        config = SamplingConfig(temperature=0, beams=2, stop=stop, max_new_tokens=6)
        (ids,) = generate(policy, [[1]], config, {END}, pad_id=END, decode=decode)
        assert decode(ids) == text


def test_stop_strings_need_decode() -> None:
    with pytest.raises(WorkbenchError, match=r"stop=\('x',\) needs decode"):
        generate(Scripted({1: [1]}), [[1]], SamplingConfig(stop=("x",)), {END}, END)
    assert Stops({END}).reached([1, END])
    assert not Stops({END}).reached([END, 1])
