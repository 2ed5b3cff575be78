"""Everything that a run needs to resume, in one safetensors file: loading it never runs code."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from normwise.errors import RunError
from normwise.files import is_file, write_whole
from normwise.records import from_json


@dataclass
class RunProgress:
    """Progress of a run.

    Attributes:
        step: Optimiser steps taken.
        loss_sum: Sum of the training losses since the last point, so that the next one is exact.
        loss_count: Number of losses in the sum.
        metrics_size: Bytes of ``metrics.jsonl`` that belong to the steps taken.
        diverged: Whether the last loss was not finite.
        stopped: Whether the loss at which the run stops was reached.
    """

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    metrics_size: int = 0
    diverged: bool = False
    stopped: bool = False

    @property
    def ended(self) -> bool:
        """Return whether the run takes no further step, even if more were requested."""
        return self.diverged or self.stopped


def save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    progress: RunProgress,
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the checkpoint completely, or keep the existing one; ``optimizer`` is None if it has no state.

    Read the ``extra`` tensors by :func:`load_extra`.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"extra.{name}": tensor for name, tensor in (extra or {}).items()}
    states = {} if optimizer is None else optimizer.state_dict()["state"]
    for index, state in states.items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    metadata = progress_metadata(progress)
    write_whole(path, safetensors.torch.save({k: t.contiguous() for k, t in tensors.items()}, metadata))


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> RunProgress:
    """Read a checkpoint into a model and an optimiser of the same run, or leave both unchanged.

    Raises:
        RunError: there is no checkpoint, the file is damaged, or it belongs to another run.
    """
    if not is_file(path):
        raise RunError(f"{path} is not a file; resume the run, which writes it, or delete what is there")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            progress = progress_of(file.metadata())
            names = set(file.keys())
            wanted = _model_tensors(model)
            of_optimizer = {} if optimizer is None else _optimizer_tensors(optimizer, names)
            # Names and shapes first: the file of another network may have any size.
            check_names({name for name in names if name.startswith("model.")}, set(wanted))
            if optimizer is not None:
                check_names({name for name in names if name.startswith("optimizer.")}, set(of_optimizer))
            tensors = {name: _tensor(file, name, like) for name, like in (wanted | of_optimizer).items()}
    except (safetensors.SafetensorError, OSError, ValueError, OverflowError) as error:
        raise RunError(
            f"{path} is damaged or belongs to another network: {error}. Delete it to start the run again"
        ) from None
    model.load_state_dict({name.removeprefix("model."): tensors[name] for name in wanted})
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name in of_optimizer:
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensors[name]
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def load_extra(path: Path, name: str) -> Tensor | None:
    """Return the ``extra`` tensor of a name in a checkpoint that :func:`load` has read; None if it has none."""
    with safetensors.safe_open(path, framework="pt") as file:
        return file.get_tensor(f"extra.{name}") if f"extra.{name}" in set(file.keys()) else None


def progress_metadata(progress: RunProgress) -> dict[str, str]:
    """Return the progress as metadata of the file."""
    # Only one entry: safetensors writes several in an order that differs between processes.
    return {"progress": json.dumps(vars(progress) | {"loss_sum": progress.loss_sum.hex()})}


def progress_of(metadata: Mapping[str, str] | None) -> RunProgress:
    """Return the progress in a file's metadata.

    Raises:
        ValueError, OverflowError: the metadata have no progress, or an impossible one.
    """
    saved = from_json(_SavedProgress, (metadata or {}).get("progress", "").encode())
    total = float.fromhex(saved.loss_sum)
    progress = RunProgress(
        saved.step, total, saved.loss_count, saved.metrics_size, saved.diverged, saved.stopped
    )
    _check_progress(progress)
    return progress


@dataclass(frozen=True)
class _SavedProgress:
    """Form of :class:`RunProgress` in the file, with the sum in hexadecimal digits, which are exact."""

    step: int
    loss_sum: str
    loss_count: int
    metrics_size: int
    diverged: bool
    stopped: bool = False


def _check_progress(progress: RunProgress) -> None:
    least = min(progress.step, progress.loss_count, progress.metrics_size)
    if least < 0 or not (math.isfinite(progress.loss_sum) or progress.diverged):
        raise ValueError(f"its progress is impossible: {progress}")


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer, names: set[str]) -> dict[str, Tensor]:
    """Return names and shapes of the optimiser's state; a parameter without a gradient has none."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    found: dict[str, Tensor] = {}
    for index, parameter in enumerate(parameters):
        of_this = {"momentum_buffer": parameter}
        if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
            of_this = {"step": torch.tensor(0.0), "exp_avg": parameter, "exp_avg_sq": parameter}
        of_this = {f"optimizer.{index}.{key}": tensor for key, tensor in of_this.items()}
        if names.intersection(of_this):
            found |= of_this
    return found


def check_names(got: set[str], expected: set[str]) -> None:
    """Raise ValueError, naming the first missing or unexpected tensor, unless both have the same."""
    for names, said in ((expected - got, "it lacks"), (got - expected, "it has more:")):
        if names:
            first = min(names)
            more = f" and {len(names) - 1} others" if len(names) > 1 else ""
            raise ValueError(f"{said} {first}{more}")


def _tensor(file: Any, name: str, like: Tensor) -> Tensor:
    shape = tuple(file.get_slice(name).get_shape())
    if shape != tuple(like.shape):
        raise ValueError(f"{name} has the shape {shape}, and the network's has {tuple(like.shape)}")
    tensor = file.get_tensor(name)
    if tensor.dtype != like.dtype and not name.endswith(".step"):
        raise ValueError(f"{name} is of {tensor.dtype}, and the network's of {like.dtype}")
    return tensor
