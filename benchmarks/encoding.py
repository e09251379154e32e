"""How fast pairs become tokens, what a row takes of memory, and what a preflight takes.

    python benchmarks/encoding.py FILE [--rows 1000 10000 ...] [--model smollm2]

Rows are drawn from FILE, a number added to each prompt so that no two are the same. Seconds are
those of one pass; bytes are those by which the process grows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench import load_model
from workbench.data.pairs import encode_pairs, read_pairs, write_jsonl
from workbench.data.preflight import preflight


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Print a line per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    model, known = load_model(given.model), read_pairs(given.file).pairs
    encode_pairs(known, model.tokenizer, model.max_length)  # once, so that nothing is new
    for count in given.rows:
        rng = random.Random(0)
        drawn = rng.choices(known, k=count)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "pairs.jsonl"
            write_jsonl(drawn, path)
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for number, row in enumerate(rows):
                row["prompt"] += f" {number}"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            del rows, drawn
            pairs = read_pairs(path).pairs
            before, begin = resident(), time.perf_counter()
            encoded = encode_pairs(pairs, model.tokenizer, model.max_length)
            took, grown = time.perf_counter() - begin, resident() - before
            del encoded, pairs
            begin = time.perf_counter()
            preflight(path, model.tokenizer, model.max_length)
            checked = time.perf_counter() - begin
        print(
            f"{count:>9,} rows: {count / took:,.0f} a second, {grown / count:,.0f} bytes a row; "
            f"preflight {checked:.1f} s"
        )


if __name__ == "__main__":
    main()
