"""Measurements of one of several processes: synchronised and local batch normalization."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import normwise
from benchmarks.synchronisation.averaged import AveragedBatchNorm2d
from benchmarks.synchronisation.wire import counted, sent
from benchmarks.training.training_step import resnet20
from normwise.distributed import RankUnion, union_of

#: Samples of all ranks together.
SHAPES = ((32, 64, 32, 32), (32, 512, 4, 4))
#: Bytes of the messages for the model.
SIZES = (1 << 10, 1 << 13, 1 << 15, 1 << 17, 1 << 19, 1 << 21)
WARMING = 3
#: Times as many rounds of what takes a millisecond, of which the least is asked for.
MORE = 8
KINDS: dict[str, Callable[[int], nn.Module]] = {
    "torch, local": nn.BatchNorm2d,
    "normwise, local": normwise.nn.BatchNorm2d,
    "SyncBatchNorm": normwise.nn.SyncBatchNorm,
    "averaged": AveragedBatchNorm2d,
}


def in_turn(contestants: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return milliseconds of each on this rank: on the clock, and on the processor."""
    found: dict[str, dict[str, list[float]]] = {name: {"clock": [], "processor": []} for name in contestants}
    for _ in range(WARMING + rounds):
        for name, run in contestants.items():
            dist.barrier()
            clock, processor = time.perf_counter(), time.process_time()
            run()
            found[name]["clock"].append(1e3 * (time.perf_counter() - clock))
            found[name]["processor"].append(1e3 * (time.process_time() - processor))
    return {name: {which: row[WARMING:] for which, row in both.items()} for name, both in found.items()}


def layer_pass(layer: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], None]:
    """Return a forward and backward pass of a layer."""

    def run() -> None:
        layer.zero_grad()
        layer(x.detach().requires_grad_()).backward(grad)

    return run


def bytes_of(run: Callable[[], None]) -> dict[str, Any]:
    """Return the bytes that a pass gives to collectives, and that sockets send for it."""
    run()
    with counted() as given:
        run()
    dist.barrier()
    before, passes = sent(), 20
    for _ in range(passes):
        run()
    after = sent()
    dist.barrier()
    wire = None if before is None or after is None else (after - before) / passes
    return {"given": given.calls, "sent": wire}


def layers(rank: int, ranks: int, rounds: int) -> dict[str, Any]:
    """Return what layers cost this rank."""
    found: dict[str, Any] = {}
    for shape in SHAPES:
        # Of its own process group, in which no layer was wider.
        group = dist.new_group(list(range(ranks)))
        x = torch.randn(shape[0] // ranks, *shape[1:], generator=torch.Generator().manual_seed(rank))
        grad = torch.randn_like(x)
        made = {name: kind(shape[1]) for name, kind in KINDS.items()}
        setattr(made["SyncBatchNorm"], "process_group", group)  # noqa: B010 (a module's attributes have no type)
        passes = {name: layer_pass(layer, x, grad) for name, layer in made.items()}
        times = in_turn(passes, rounds)
        rows = {name: {**times[name], **bytes_of(run)} for name, run in passes.items()}
        union = union_of(cast("dist.ProcessGroup", group), "a layer", x.device, 60.0)
        alone = in_turn({"both": exchange(cast("RankUnion", union), x)}, MORE * rounds)["both"]
        rows["SyncBatchNorm"]["collectives"] = alone["clock"]
        found["×".join(map(str, shape))] = rows
    return found


def exchange(union: RankUnion, x: Tensor) -> Callable[[], None]:
    """Return both collectives of a layer, with nothing around them."""
    moments, sums = normwise.functional.moments(x), torch.zeros(2, x.shape[1])

    def run() -> None:
        union.moments(moments)
        union.gradient_sums(sums)

    return run


def training_steps(rank: int, ranks: int, rounds: int) -> dict[str, Any]:
    """Return what steps of a ResNet-20 under DistributedDataParallel cost this rank."""
    generator = torch.Generator().manual_seed(rank)
    x = torch.randn(64 // ranks, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (len(x),), generator=generator)
    steps: dict[str, Callable[[], None]] = {}
    for name, kind in KINDS.items():
        torch.manual_seed(0)
        model = DistributedDataParallel(exchanged(resnet20(), kind))
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        steps[name] = step_of(model, optimiser, x, labels)
    times = in_turn(steps, rounds)
    return {name: {**times[name], **bytes_of(step)} for name, step in steps.items()}


def exchanged(model: nn.Module, kind: Callable[[int], nn.Module]) -> nn.Module:
    """Give a model layers of a kind."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, kind(child.num_features))
    return model


def step_of(
    model: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, labels: Tensor
) -> Callable[[], None]:
    """Return a step of training."""

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimiser.step()

    return step


def errors(rank: int, ranks: int) -> dict[str, dict[str, float]]:
    """Return the largest error of a rank's output beside one process with the whole batch in float64."""
    found: dict[str, dict[str, float]] = {}
    cases = {
        "equal counts": (lambda r: 8, 0.0),
        "unequal counts": (lambda r: 2 if r == 0 else 14, 0.0),
        "equal counts, mean 1000": (lambda r: 8, 1000.0),
    }
    for case, (samples, offset) in cases.items():
        batches = [
            torch.randn(samples(r), 16, 4, 4, generator=torch.Generator().manual_seed(r)) + 0.5 * r + offset
            for r in range(ranks)
        ]
        whole = nn.BatchNorm2d(16).double()(torch.cat(batches).double())
        expected = whole.split([len(batch) for batch in batches])[rank]
        found[case] = {
            name: float((KINDS[name](16)(batches[rank]) - expected).detach().abs().max())
            for name in ("SyncBatchNorm", "averaged")
        }
    return found


def collectives(ranks: int, rounds: int) -> dict[str, Any]:
    """Return milliseconds of the two collectives of a layer, by the bytes that a rank puts in."""
    found: dict[str, Any] = {"all_gather": {}, "all_reduce": {}}
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    for size in SIZES:
        message = torch.zeros(size // 8, dtype=torch.float64)
        everything = torch.zeros(ranks * len(message), dtype=torch.float64)

        def all_gather(everything: Tensor = everything, message: Tensor = message) -> None:
            gather(everything, message)

        def all_reduce(message: Tensor = message) -> None:
            dist.all_reduce(message)

        for name, row in in_turn({"all_gather": all_gather, "all_reduce": all_reduce}, MORE * rounds).items():
            found[name][str(size)] = row["clock"]
    return found


def measure(rank: int, ranks: int, rounds: int, folder: str) -> None:
    """Measure on one rank, and leave what it found in a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
    found = {
        "layers": layers(rank, ranks, rounds),
        "steps": training_steps(rank, ranks, max(rounds // 2, 2)),
        "errors": errors(rank, ranks),
        "collectives": collectives(ranks, rounds),
    }
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
