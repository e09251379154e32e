"""How long a moved slider takes in the kernel until its new picture is there: figures only.

    python benchmarks/sliders.py

Every interactive figure of the lessons, each of its sliders moved fifty times in turn; what is
timed is a person's move from the new value to the encoded picture.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from workbench.view.controls.explorer import Explorer
from workbench.view.controls.number import NumberControl
from workbench.view.lessons.beta import explore_reference_temperature, explore_two_truths
from workbench.view.lessons.derivation import (
    explore_objective,
    explore_optimum,
    explore_preference,
    explore_reward,
)
from workbench.view.lessons.descent import explore_loss
from workbench.view.lessons.loss_shapes import explore_losses

MOVES = 50
FIGURES = (
    explore_objective, explore_optimum, explore_reward, explore_preference, explore_loss,
    explore_two_truths, explore_reference_temperature, explore_losses,
)  # fmt: skip


def places(control: NumberControl) -> Iterator[float]:
    """Values all over a slider's range, each another than the one before."""
    for move in range(MOVES):
        share = (0.02 + 0.37 * move) % 1
        if control.log:
            yield control.min * (control.max / control.min) ** share
        elif control.choices:
            yield control.choices[int(share * len(control.choices))]
        else:
            value = control.min + share * (control.max - control.min)
            yield round(value) if control.whole else value


def before_after(explorer: Explorer, name: str) -> list[float]:
    """Milliseconds that each of fifty moves of one slider takes."""
    took = []
    for value in places(explorer.controls[name]):
        before, begin = explorer.png, time.perf_counter()
        explorer.set(**{name: value})
        took.append(1000 * (time.perf_counter() - begin))
        assert explorer.png != before, f"{name}={value} shows the same picture"
    return took


def main() -> None:
    """Print the median and the longest move of every slider."""
    for make in FIGURES:
        explorer = make()
        for name, control in explorer.controls.items():
            if isinstance(control, NumberControl):
                took = before_after(explorer, name)
                middle, longest = statistics.median(took), max(took)
                print(f"{make.__name__:20} {name:20} {middle:5.1f} ms, longest {longest:5.1f} ms")


if __name__ == "__main__":
    main()
