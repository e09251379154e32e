"""Several runs are asked a prompt of several turns in the same way, whichever of them has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.compare.handle_sources import run_handles
from workbench.data.layouts.row_sources import write_rows
from workbench.runs.run import Run


def test_every_run_is_asked_the_conversation(make_run: Callable[..., Run], tmp_path: Path) -> None:
    good, bad = ({"role": "assistant", "content": f"was {word} ."} for word in ("good", "bad"))
    asked = [{"role": "user", "content": f"the plot {number}"} for number in range(4)]
    rows = [{"chosen": [a, good, a, good], "rejected": [a, good, a, bad]} for a in asked]
    plain = [{"prompt": f"p {n}", "chosen": "good", "rejected": "bad"} for n in range(4)]
    files = [
        str(write_rows(found, tmp_path / f"{number}.jsonl"))
        for number, found in enumerate((rows, plain))
    ]
    runs = [make_run(data=file, held_out=1, samples=0, max_steps=1) for file in files]
    text, item = runs[0].data.held_out_texts[0], runs[0].data.held_out[0]
    assert [one.name for one in run_handles(runs[0])[0]] == ["reference", "policy"]
    for order in (runs, runs[::-1]):
        for handle in run_handles(order)[0]:
            assert handle.tokenizer.render_prompt(text.prompt) == list(item.prompt)
