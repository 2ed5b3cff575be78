"""All that a run needs to go on, in one safetensors file: no code is ever loaded."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from normwise.errors import RunError
from normwise.files import write_whole


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        step: Optimiser steps taken.
        loss_sum: Sum of the training losses since the last point, so that the next one is exact.
        loss_count: How many losses that are.
        metrics_size: Bytes of ``metrics.jsonl`` that belong to the steps taken.
        diverged: Whether the last loss was not finite.
    """

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    metrics_size: int = 0
    diverged: bool = False


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None, progress: Progress) -> None:
    """Write the checkpoint whole, or leave the one that stands; without an optimiser where it has no state."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    states = {} if optimizer is None else optimizer.state_dict()["state"]
    for index, state in states.items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    # One entry only: safetensors writes several in an order that changes from process to process.
    metadata = {"progress": json.dumps(vars(progress) | {"loss_sum": progress.loss_sum.hex()})}
    write_whole(path, safetensors.torch.save({k: t.contiguous() for k, t in tensors.items()}, metadata))


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> Progress:
    """Read a checkpoint into a model and an optimiser of the same run.

    Raises:
        RunError: the file is damaged or is another run's.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            fields: dict[str, Any] = json.loads(file.metadata()["progress"])
            fields["loss_sum"] = float.fromhex(fields["loss_sum"])
        model.load_state_dict(
            {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        )
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = tensor
        if optimizer is not None:
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        return Progress(**fields)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise RunError(
            f"{path} is damaged or belongs to another network: {error}. Delete it to start the run anew"
        ) from None
