"""What processes send each other in a step: as computed, and as counted on this machine's loopback.

    python -m benchmarks.traffic

Then the same formulas on 8 and 64 GPUs, with the assumptions that they rest on; nothing of that is
measured.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import COMMON, STEPS, surroundings

FLOAT32 = 4  # bytes of a number
LOOPBACK = Path("/sys/class/net/lo/statistics/rx_bytes")


def sent(parameters: float, processes: int, shard: str, passes: int = 1) -> float:
    """Bytes that each process sends in a step.

    DDP adds up the gradients once a step, by a ring: 2 (N - 1) / N of them. FSDP2 puts the weights
    together for each forward and each backward pass, and adds up and divides the gradients after
    each: 3 (N - 1) / N in all (Rajbhandari et al. 2020, section 7).

    Args:
        parameters: that are trained; all, without adapters.
        passes: forward passes of a step.
    """
    share = (processes - 1) / processes
    if shard == "ddp":
        return 2 * share * parameters * FLOAT32
    return passes * share * parameters * 3 * FLOAT32


@dataclass(frozen=True)
class Machine:
    """What an extrapolation takes for granted of a GPU and what connects it.

    Attributes:
        name: of the GPU and its connection.
        flops: of bf16 products, the peak per second.
        share: of the peak that a step on one GPU reaches.
        within: bytes per second that a GPU sends to those of its own machine.
        between: the same to other machines.
        gpus: in a machine.
    """

    name: str = "8 H200 a machine, NVLink, 400 Gbit/s a GPU between machines"
    flops: float = 989e12
    share: float = 0.4
    within: float = 450e9 * 0.7
    between: float = 50e9 * 0.7
    gpus: int = 8


def seconds(
    machine: Machine, parameters: float, tokens: float, gpus: int, shard: str
) -> tuple[float, float]:
    """Computing and sending, for `tokens` per GPU and step.

    8 operations per weight and token: forward 2, backward 4, and 2 for a reference that is computed
    live; its forward pass of shards is not counted as sent.
    """
    computing = 8 * parameters * tokens / (machine.flops * machine.share)
    speed = machine.within if gpus <= machine.gpus else machine.between
    return computing, sent(parameters, gpus, shard) / speed


def extrapolated() -> Iterator[list[str]]:
    """Share of the ideal speed, where nothing of the sending is hidden and where all of it is."""
    machine = Machine()
    yield [
        "parameters",
        "tokens a GPU",
        "way",
        "GPUs",
        "computing",
        "sending",
        "speed, none hidden",
        "all hidden",
    ]
    yield ["---:", "---:", "---", "---:", "---:", "---:", "---:", "---:"]
    for parameters in (0.135e9, 1.5e9, 8e9):
        for tokens in (4096, 16_384):
            for shard in ("ddp", "fsdp"):
                if shard == "ddp" and parameters > 2e9:
                    continue  # 16 bytes per weight, and the activations, are more than a GPU holds
                for gpus in (8, 64):
                    computing, sending = seconds(machine, parameters, tokens, gpus, shard)
                    none, whole = (
                        computing / (computing + sending),
                        computing / max(computing, sending),
                    )
                    yield [
                        f"{parameters / 1e9:g} billion", f"{tokens:,}", shard, str(gpus),
                        f"{computing * 1e3:.0f} ms", f"{sending * 1e3:.0f} ms",
                        f"{gpus * none:.0f} times one", f"{gpus * whole:.0f} times",
                    ]  # fmt: skip


def counted(folder: Path) -> Iterator[list[str]]:
    """What goes over the loopback in a run of the tiny model, beside what is computed.

    A short run is taken off, so that loading and meeting don't count.
    """
    yield ["way", "computed", "counted"]
    yield ["---", "---:", "---:"]
    for shard in ("ddp", "fsdp"):
        received = {}
        for steps in (STEPS, 2 * STEPS):
            flags = [*COMMON[: COMMON.index("--max-steps")], "--max-steps", str(steps)]
            out = folder / f"{shard}-{steps}"
            before = int(LOOPBACK.read_text())
            asked = [sys.executable, "-m", "workbench", "train", *flags, "--precision", "float32"]
            asked += ["--checkpoint-minutes", "0", "--processes", "2", "--shard", shard]
            subprocess.run(
                [*asked, "--out", str(out)], env=surroundings(1), check=True, capture_output=True
            )
            received[steps] = int(LOOPBACK.read_text()) - before
        computed = 2 * sent(parameters_of_tiny(), 2, shard)
        found = (received[2 * STEPS] - received[STEPS]) / STEPS
        yield [shard, f"{computed / 1e6:.2f} MB a step", f"{found / 1e6:.2f} MB a step"]


def parameters_of_tiny() -> int:
    """Weights of the embedded model."""
    from workbench.train.base_model import tiny_base

    return sum(weight.numel() for weight in tiny_base().policy.parameters())


def main() -> None:
    """Both tables."""
    with TemporaryDirectory() as folder:
        for row in [*counted(Path(folder)), [], *extrapolated()]:
            print("| " + " | ".join(row) + " |" if row else "", flush=True)


if __name__ == "__main__":
    main()
