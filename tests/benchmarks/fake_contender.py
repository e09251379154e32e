"""A contender for the tests: sleeps where others compute, and misbehaves where it is told to."""

import os
import sys
import time
from typing import Any

from benchmarks.contender import Turns, serve


def work(setting: dict[str, Any], turns: Turns) -> None:
    """Steps of `seconds` each; before step `dies_at` the process ends."""
    print("a stray line, as libraries print them")
    os.write(1, b'{"seconds": 0.0}\n')  # what C code would do
    turns.ready(precision="float32", told=setting)
    step = 0
    while True:
        if step == setting.get("dies_at"):
            sys.exit("the cheese is out")
        time.sleep(setting["seconds"])
        step += 1
        turns.step_done()


if __name__ == "__main__":
    serve(work)
