"""`--processes`: a command run by several processes on this machine, by `torchrun`'s own engine."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from uuid import uuid4

from workbench.cli.printable import show_error

TO_END = 600  # seconds after a signal for the step in hand, checkpoint and evaluation


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run the command in `processes` processes; its exit code.

    If one of them ends early, so do the others.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from workbench.train.distributed.group import EXIT, LAUNCHER

    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # Else they are killed half a minute after it.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(TO_END))
    os.environ[LAUNCHER] = str(os.getpid())
    logging.disable(logging.CRITICAL)  # what matters is said below, and by the processes
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid4().hex, max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", monitor_interval=0.1,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "workbench", *arguments)
    except ChildFailedError as error:
        codes = {number: failure.exitcode for number, failure in error.failures.items()}
        if codes.get(0) != EXIT:  # the main process, which would have said why
            number, code = min(codes.items(), key=lambda one: one[1])
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            show_error(f"process {number} ended {how}; --resume goes on from the last checkpoint")
        return EXIT
    except SignalException as error:
        return 128 + error.sigval
    return 0
