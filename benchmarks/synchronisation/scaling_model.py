"""Costs of SyncBatchNorm by the latency and bandwidth model, for numbers of ranks that are not at hand.

Run: python -m benchmarks.synchronisation.scaling_model

Prints the table of docs/processes/scaling.md. page.py also writes there latency and bandwidth fitted to the
collectives that benchmarks/synchronised.py measured, and what follows for the layers that it measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normwise.distributed.exchange import FIRST
from normwise.distributed.place import HEADER

_VALUE = 8
#: GPUs of a node.
_NODE = 8


@dataclass(frozen=True)
class Link:
    """A network, by the latency of a message and the bytes a second.

    Attributes:
        name: What it is.
        alpha: Seconds of a message of no bytes.
        bandwidth: Bytes a second of a rank.
        nccl: Whether NCCL's rings and trees use it, in nodes of 8 GPUs; else gloo's rings.
    """

    name: str
    alpha: float
    bandwidth: float
    nccl: bool = False


#: Sources in docs/processes/scaling.md.
LINKS = (
    Link("10 Gb/s Ethernet, gloo", 10e-6, 1.25e9),
    Link("100 Gb/s a node of 8 GPUs, NCCL", 2.7e-6, 12.5e9, nccl=True),
    Link("400 Gb/s a node of 8 GPUs, NCCL", 2.7e-6, 50e9, nccl=True),
)
#: Of NCCL's own model: seconds of a ring's and of a tree's step over NVLink and over the network, and of a launch.
_RING_START, _TREE_START = 3.6e-6, 4.4e-6
_RING_NVLINK, _TREE_NVLINK, _TREE_NET = 0.47e-6, 0.52e-6, 5.0e-6
_LL_ACROSS = 1.8
#: Of a link's bandwidth the protocol for short messages has a quarter.
_LL_SHARE = 0.25
_NVLINK = 450e9


def resnet50() -> list[int]:
    """Return the channels of ResNet-50's 53 layers."""
    layers = [64]
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        layers += [width, width, 4 * width] * blocks + [4 * width]
    return layers


def forward_bytes(widest: int) -> int:
    """Return the bytes that a rank puts into the all_gather of a layer, if the group's widest has so many channels."""
    return _VALUE * (HEADER + max(FIRST, 2 * widest + 1))


def backward_bytes(widest: int) -> int:
    """Return the bytes that a rank puts into the all_reduce of a layer."""
    return _VALUE * (HEADER + max(FIRST, 2 * widest))


def ring_gather(ranks: int, size: int, alpha: float, bandwidth: float) -> float:
    """Return seconds of a ring's all_gather, in which each rank sends each message but one."""
    return (ranks - 1) * (alpha + size / bandwidth)


def ring_reduce(ranks: int, size: int, alpha: float, bandwidth: float) -> float:
    """Return seconds of a ring's all_reduce: a reduce_scatter and an all_gather of parts."""
    return 2 * (ranks - 1) * (alpha + size / ranks / bandwidth)


def gather_seconds(link: Link, ranks: int, size: int) -> float:
    """Return seconds of an all_gather over a link."""
    if not link.nccl:
        return ring_gather(ranks, size, link.alpha, link.bandwidth)
    nodes = math.ceil(ranks / _NODE)
    within, bandwidth = _nccl(link, nodes)
    latency = (ranks - nodes) * _RING_NVLINK * within + (nodes - 1) * link.alpha
    return _RING_START + latency + (ranks - 1) * size / bandwidth


def reduce_seconds(link: Link, ranks: int, size: int) -> float:
    """Return seconds of an all_reduce over a link: gloo's ring, or NCCL's tree."""
    if not link.nccl:
        return ring_reduce(ranks, size, link.alpha, link.bandwidth)
    nodes = math.ceil(ranks / _NODE)
    within, bandwidth = _nccl(link, nodes)
    steps = (ranks / nodes - 1) * _TREE_NVLINK * within + math.log2(nodes) * _TREE_NET
    return _TREE_START + 2 * steps + 2 * size / bandwidth


def _nccl(link: Link, nodes: int) -> tuple[float, float]:
    """Return the factor of latencies within a node, and the bandwidth."""
    return (_LL_ACROSS, _LL_SHARE * link.bandwidth) if nodes > 1 else (1.0, _LL_SHARE * _NVLINK)


def fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of seconds over bytes that make the sum of squared relative errors the least."""
    weights = [1 / seconds**2 for _, seconds in points]
    total = sum(weights)
    x, y = (sum(w * p[i] for w, p in zip(weights, points, strict=True)) / total for i in (0, 1))
    above = sum(w * (p[0] - x) * (p[1] - y) for w, p in zip(weights, points, strict=True))
    slope = above / sum(w * (p[0] - x) ** 2 for w, p in zip(weights, points, strict=True))
    return y - slope * x, slope


def fitted(measured: dict[str, Any], statistic: str) -> dict[str, tuple[float, float]]:
    """Return alpha in seconds and bytes a second of each collective, "ranks kind", by a number of its rounds."""
    found: dict[str, tuple[float, float]] = {}
    for ranks, of_kind in measured["collectives"].items():
        k = int(ranks)
        for kind, of_size in of_kind.items():
            start, slope = fit([(int(size), times[statistic] / 1e3) for size, times in of_size.items()])
            steps = k - 1 if kind == "all_gather" else 2 * (k - 1)
            # A step of an all_reduce moves a k-th of the message.
            moved = k - 1 if kind == "all_gather" else 2 * (k - 1) / k
            found[f"{ranks} {kind}"] = start / steps, moved / slope
    return found


def comparison(measured: dict[str, Any], statistic: str) -> list[tuple[str, str, float, float]]:
    """Return ranks, shape, seconds computed and milliseconds measured of both collectives of each layer."""
    links, found = fitted(measured, statistic), []
    for ranks, of_shape in measured["layers"].items():
        for shape, of_kind in of_shape.items():
            # No wider layer was in the group when a shape was measured.
            widest = int(shape.split("×")[1])
            computed = ring_gather(int(ranks), forward_bytes(widest), *links[f"{ranks} all_gather"])
            computed += ring_reduce(int(ranks), backward_bytes(widest), *links[f"{ranks} all_reduce"])
            found.append((ranks, shape, computed, of_kind["SyncBatchNorm"]["collectives_ms"][statistic]))
    return found


def table() -> None:
    """Print what ResNet-50's layers cost at 8, 64 and 1,024 ranks."""
    layers = resnet50()
    widest = max(layers)
    forward, backward = forward_bytes(widest), backward_bytes(widest)
    own = sum(_VALUE * (HEADER + 2 * channels + 1) for channels in layers)
    print(f"\nResNet-50, {len(layers)} layers; each puts in {forward:,} bytes forward, {backward:,} backward")
    print(
        f"forward that is {len(layers) * forward:,} bytes; with messages of each layer's own size it were {own:,}\n"
    )
    print(
        "| network | ranks | forward, ms | backward, ms | a step, ms | received a step, MB |\n|---|---|---|---|---|---|"
    )
    for link in LINKS:
        for ranks in (8, 64, 1024):
            there = 1e3 * len(layers) * gather_seconds(link, ranks, forward)
            back = 1e3 * len(layers) * reduce_seconds(link, ranks, backward)
            # Of a tree as well a rank receives two messages on average, one on the way up and one down.
            received = len(layers) * ((ranks - 1) * forward + 2 * (ranks - 1) / ranks * backward) / 1e6
            print(
                f"| {link.name} | {ranks:,} | {there:,.1f} | {back:,.1f} | {there + back:,.1f} | {received:,.0f} |"
            )


if __name__ == "__main__":
    table()
