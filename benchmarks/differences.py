"""How long the marking of two long texts takes, whatever they are: figures, no judgement.

    python benchmarks/differences.py [--words 4000]

Both texts have as many words; where few words are repeated many times, difflib takes minutes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from workbench.view.html.differences import differing_parts

ROUNDS = 7


def texts(count: int) -> dict[str, tuple[str, str]]:
    """Pairs of texts of so many words."""
    rng = random.Random(0)

    def repeated(words: str) -> str:
        return " ".join((words.split() * count)[:count])

    def drawn(kinds: int) -> str:
        return " ".join(f"w{rng.randrange(kinds)}" for _ in range(count))

    numbered = " ".join(f"w{index}" for index in range(count))
    return {
        "'a b' against 'a c'": (repeated("a b"), repeated("a c")),
        "periods of 3 and 2": (repeated("a b c"), repeated("a b")),
        "one word": (repeated("a"), repeated("a")),
        "equal": (numbered, numbered),
        "nothing shared": (numbered, numbered.replace("w", "v")),
        **{f"random, {kinds} words": (drawn(kinds), drawn(kinds)) for kinds in (2, 100, 4000)},
    }


def main() -> None:
    """Print the median and the slowest of some rounds for each kind of text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=4000)
    for name, pair in texts(parser.parse_args().words).items():
        took = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            differing_parts(*pair)
            took.append(1000 * (time.perf_counter() - begin))
        print(f"{name:>20}: {statistics.median(took):.0f} ms, most {max(took):.0f}")


if __name__ == "__main__":
    main()
