"""Two processes with four samples each: local statistics, synchronised ones, and one process with all eight.

Run: python examples/synchronised_statistics.py (the digits need pip install 'normwise[study]')

It starts itself by torchrun: ``torchrun --nproc-per-node 2 examples/synchronised_statistics.py`` is the same. With
synchronised statistics two processes train as one does, to rounding; with local ones each has statistics of four
samples, and rank 0 would save its own.
"""

import os
import subprocess
import sys

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import normwise

images = torch.as_tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.as_tensor(load_digits().target)
STEPS, BATCH = 30, 8


def network() -> nn.Module:
    """Return the network with its initial weights."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)]
    model = nn.Sequential(*layers)
    model.eval()(images[:1])
    return model.train()


def trained(model: nn.Module, rank: int, ranks: int) -> nn.Module:
    """Train on this rank's share of each batch, and return the network without what it was wrapped in."""
    network = model
    if ranks > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    for step in range(STEPS):
        share = order[step * BATCH : (step + 1) * BATCH].chunk(ranks)[rank]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[share]), labels[share]).backward()
        optimizer.step()
    return network


def largest(difference: torch.Tensor) -> float:
    """Return the largest absolute value of all ranks."""
    found = difference.abs().max()
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return found.item()


def say(what: str, model: nn.Module, alone: nn.Module) -> None:
    """Print how far weights are from those of one process, and running means from those of rank 0."""
    weights = largest(model[0].weight.detach() - alone[0].weight.detach())
    of_first = model[1].running_mean.clone()
    dist.broadcast(of_first, 0)
    means = largest((model[1].running_mean - of_first) / model[1].running_var.sqrt())
    if dist.get_rank() == 0:
        print(
            f"{what:24} weights {weights:.1e} from one process, running means {means:.1e} σ between the ranks"
        )


def main() -> None:
    """Train three times."""
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    alone = trained(network(), 0, 1)
    local = trained(network(), rank, ranks)
    say("local BN", local, alone)
    normwise.statistics.merge_statistics(local)  # before rank 0 saves a checkpoint
    say("local BN, merged", local, alone)
    synchronised, _ = normwise.convert(network(), "sync")
    say("synchronised BN", trained(synchronised, rank, ranks), alone)
    dist.destroy_process_group()


if __name__ == "__main__":
    if "RANK" in os.environ:
        torch.set_num_threads(1)
        main()
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            __file__,
        ]
        sys.exit(subprocess.run(command, check=False).returncode)
