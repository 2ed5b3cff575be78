"""Synchronised batch normalization against local, with 2 and 4 processes on this machine's CPU: time, bytes, errors.

Run: python benchmarks/synchronised.py [--ranks 2,4] [--rounds 15] [--json build/synchronised.json]

The processes are a gloo group over the loopback interface, with one thread each. torch's and normwise's local layers,
`normwise.nn.SyncBatchNorm` and a layer that averages means and means of squares (synchronisation/averaged.py) take
turns; a round is a forward and a backward pass, or a whole step of a ResNet-20 under DistributedDataParallel, and its
time is that of the last rank. torch's own SyncBatchNorm takes no tensors of a CPU. Times are medians with the 10th and
90th percentile. Bytes are those that a rank gave to collectives, and those that its sockets sent, as the kernel counts
them. Errors are the largest of the outputs beside one process with the whole batch in float64.

For synchronisation/scaling_model.py the two collectives themselves are timed, with messages of several sizes.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
# This folder has modules of common names, which are not to be imported for others.
sys.path[:] = [
    str(_ROOT / "src"),
    str(_ROOT),
    *(path for path in sys.path if Path(path).resolve() != _ROOT / "benchmarks"),
]

import torch  # noqa: E402 (the path comes first)

from benchmarks.synchronisation.cases import KINDS, measure  # noqa: E402


def spread(rows: list[list[float]]) -> dict[str, float]:
    """Return median, least, 10th and 90th percentile of the rounds of the last rank."""
    last = [max(of_ranks) for of_ranks in zip(*rows, strict=True)]
    tenths = statistics.quantiles(last, n=10, method="inclusive")
    return {"median": statistics.median(last), "least": min(last), "low": tenths[0], "high": tenths[-1]}


def merged(of_ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what all ranks found of a contestant as one."""
    row: dict[str, Any] = {
        "clock_ms": spread([one["clock"] for one in of_ranks]),
        "processor_ms": sum(statistics.median(one["processor"]) for one in of_ranks),
        "given_bytes": of_ranks[0]["given"],
        "sent_bytes": None if of_ranks[0]["sent"] is None else max(one["sent"] for one in of_ranks),
    }
    if of_ranks[0].get("collectives"):
        row["collectives_ms"] = spread([one["collectives"] for one in of_ranks])
    return row


def of_processes(ranks: int, rounds: int) -> dict[str, Any]:
    """Return the figures of a number of processes."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(measure, (ranks, rounds, folder), nprocs=ranks)  # pyright: ignore[reportPrivateImportUsage]
        found = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(ranks)]
    first = found[0]
    return {
        "layers": {
            shape: {name: merged([one["layers"][shape][name] for one in found]) for name in KINDS}
            for shape in first["layers"]
        },
        "steps": {name: merged([one["steps"][name] for one in found]) for name in KINDS},
        "errors": {
            case: {name: max(one["errors"][case][name] for one in found) for name in of_name}
            for case, of_name in first["errors"].items()
        },
        "collectives": {
            kind: {size: spread([one["collectives"][kind][size] for one in found]) for size in of_size}
            for kind, of_size in first["collectives"].items()
        },
    }


def lines(ranks: int, found: dict[str, Any]) -> Iterator[str]:
    """Return the lines to print."""
    yield f"\n{ranks} processes on {os.cpu_count()} cores"
    for what, rows in (*found["layers"].items(), ("a step of ResNet-20, 64 images", found["steps"])):
        yield f"  {what}"
        for name, row in rows.items():
            clock = row["clock_ms"]
            given = [f"{kind} {size:,}" for kind, size in row["given_bytes"]]
            text = ", ".join(given) if len(given) < 5 else f"{sum(size for _, size in row['given_bytes']):,}"
            wire = "?" if row["sent_bytes"] is None else f"{row['sent_bytes']:,.0f}"
            yield (
                f"    {name:16} {clock['median']:8.2f} ms [{clock['low']:.2f}, {clock['high']:.2f}], processor "
                f"{row['processor_ms']:.2f} ms; bytes a rank gives: {text or 'none'}; sends: {wire}"
            )
    for case, of_name in found["errors"].items():
        yield f"  error, {case}: " + ", ".join(f"{name} {value:.1e}" for name, value in of_name.items())


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="SyncBatchNorm against local batch normalization, on a CPU.")
    parser.add_argument("--ranks", default="2,4")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    everything: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load": {"begin": os.getloadavg()},
        "torch": torch.__version__,
    }
    for ranks in map(int, arguments.ranks.split(",")):
        found = of_processes(ranks, arguments.rounds)
        print("\n".join(lines(ranks, found)), flush=True)
        for section, value in found.items():
            everything.setdefault(section, {})[str(ranks)] = value
    everything["load"]["end"] = os.getloadavg()
    print(
        f"\nload of the machine: {everything['load']['begin'][0]:.1f}, then {everything['load']['end'][0]:.1f}"
    )
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
