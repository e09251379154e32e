"""Measure the workbench, alone and beside its peers.

    python run.py bench                     everything
    python run.py bench short tiny          some of it, by name
    python run.py bench short --pairs FILE  short pairs from a preference file of yours
    python run.py bench tiny --rounds 3     fewer rounds, for a first look
    python run.py bench tiny --against 7341997 --no-peers
                                            beside the workbench at that commit alone

Tables go to the terminal and, as CSV, to benchmarks/results. Contenders are alive side by side, so
the long workloads want 20 GB of memory. Whatever else runs meanwhile disturbs the figures.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Not this folder, so that `benchmarks` is the package that it is everywhere else.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.suite import main

    sys.exit(main(sys.argv[1:]))
