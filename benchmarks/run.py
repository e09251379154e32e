"""All benchmarks, one after the other: python run.py bench [FILE]

FILE is a preference file for the real model; without it the shipped pairs are used.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Run each in a process of its own, so that none warms up or slows down another."""
    for name, given in (
        ("tiny_world.py", []),
        ("dashboard.py", []),
        ("real_model.py", arguments or ["assistant", "--held-out", "30"]),
    ):
        print(f"\n== {name}", flush=True)
        if code := subprocess.call([sys.executable, str(HERE / name), *given]):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
