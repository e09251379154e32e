"""What a run on a real model has changed: answers to prompts that it never saw, and the price."""

from __future__ import annotations

import pandas as pd

from workbench.compare.visible.change_measures import (
    answers_before_and_after,
    facts_before_and_after,
    measure_change,
    unseen_prompts,
)
from workbench.compare.visible.plain_rule import FewerWords
from workbench.compare.visible.preset_sweep import SWEPT
from workbench.runs.run import Run
from workbench.train.config.presets import PRESETS
from workbench.view.html.render import Html, render
from workbench.view.html.side_by_side import answers_beside

SHOWN = 10  # prompts whose answers are shown
SIDES = {"before": "reference", "after": "policy"}


def what_changed(run: Run) -> Html:
    """Figures, facts that were lost, and greedy answers beside the reference's.

    Takes about a minute for a model of 135 million parameters on two cores: 48 prompts and 40
    questions are answered by both models. See `measure_change` for the figures.
    """
    answers = answers_before_and_after(run, unseen_prompts())
    facts = facts_before_and_after(run)
    rule = FewerWords()
    row = measure_change(run, answers, facts, [rule])
    told, low = row[f"told/{rule.name}"], row[f"told/{rule.name}_low"]
    figures = [
        ("words in an answer", *(f"{row[f'words_{side}']:.0f}" for side in SIDES)),
        (f"facts right, of {len(facts)}", *(str(row[f"facts_{side}"]) for side in SIDES)),
        ("KL, nats per completion", "0", f"{row['kl']:.1f} ± {row['kl_se']:.1f}"),
        (
            f"prompts, of {len(answers)}, where the rule tells it",
            "",
            f"{told * len(answers):.0f} ({told:.0%}; 95% interval from {low:.0%})",
        ),
    ]
    titles = ["", *SIDES.values()]
    parts = [render("table", name="wb-change", titles=titles, rows=figures, numbers=True)]
    lost = facts[facts["right_before"] & ~facts["right_after"]]
    if len(lost):
        titles[0] = "fact that was lost"
        rows = lost[["question", *SIDES]].to_numpy().tolist()
        parts.append(render("table", name="wb-lost", titles=titles, rows=rows, numbers=False))
    shown = answers.head(SHOWN).rename(columns=SIDES)
    return Html("".join([*parts, answers_beside(shown, marked=False)]))


def sweep_table(rows: pd.DataFrame) -> Html:
    """The rows of `visible_sweep`, one line each; that of the preset is named."""
    settings = PRESETS["visible"].settings
    lines = []
    for row in rows.to_dict("records"):
        lines.append(
            (
                "visible" if all(row[name] == settings[name] for name in SWEPT) else "",
                *(f"{row[name]:g}" for name in (*SWEPT, "steps")),
                f"{row['seconds']:.0f}",
                *(f"{row[f'told/{judge}']:.0%}" for judge in ("fewer words", "reward model")),
                f"{row['kl']:.1f} ± {row['kl_se']:.1f}",
                f"{row['facts_after']:.0f}",
                f"{row['words_after']:.0f}",
            )
        )
    titles = (
        *("preset", "ld_alpha", "learning rate", "beta", "epochs", "steps", "seconds"),
        *("rule", "reward model", "KL", f"facts of {rows['facts_before'].max():.0f}", "words"),
    )
    return render("table", name="wb-sweep", titles=titles, rows=lines, numbers=True)
