"""Checks that a model can be examined without being changed."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from normwise.doctor.facts.model.graph_calls import graph_calls
from normwise.errors import ArgumentError, ModelError
from normwise.layers import LayerKind, batch_norms, find
from normwise.layers.reasons import UNINITIALISED


def examinable(model: Any, *, has_data: bool) -> dict[str, LayerKind]:
    """Return the BN layers of a model by path.

    Args:
        model: Model of the user.
        has_data: Whether the model will be called.

    Raises:
        ArgumentError: the argument is not a model.
        ModelError: the model has no BN layer and no graph that calls one, is sharded, or can't be called without
            being changed.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"expected a torch.nn.Module as the model, got {type(model).__name__}")
    kinds = batch_norms(model)
    if not kinds and not graph_calls(model):
        raise ModelError(_without_layers(model))
    _refuse_sharded(model)
    if has_data:
        _refuse_without_values(model, kinds)
    return kinds


def refuse_calls_of_uninitialised(kinds: Mapping[str, LayerKind]) -> None:
    """Make calls of uninitialised layers fail, since they would change permanently. The caller removes the hooks."""

    def refuse(path: str, layer: nn.Module, args: Any) -> None:
        raise ModelError(f"{type(layer).__name__} {path!r} {UNINITIALISED}")

    for path, kind in kinds.items():
        if not kind.initialised:
            kind.layer.register_forward_pre_hook(partial(refuse, path), prepend=True)


def _refuse_sharded(model: nn.Module) -> None:
    """Raise for a model of which each process has a part: any access or pass would wait for the others."""
    # By name, since importing the classes takes a second.
    classes = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    if found := sorted(classes & {"FSDPModule", "FullyShardedDataParallel"}):
        raise ModelError(
            f"the parameters of {type(model).__name__} are sharded among processes ({found[0]}), so that no process "
            "can examine it. Examine the model before it is sharded, or load the full state into one that is not: "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True gives it"
        )


def _refuse_without_values(model: nn.Module, kinds: dict[str, LayerKind]) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        path = name.rpartition(".")[0]
        # A lazy BN layer that is never called stays lazy; any other would be changed permanently by the first
        # call.
        if is_lazy(tensor) and path not in kinds:
            raise ModelError(
                f"{type(model).__name__} has the parameter {name!r}, which is not initialised yet. Call the model once "
                "on a batch, and then examine it: model(next(iter(loader))[0])"
            )
        if tensor.is_meta:
            raise ModelError(
                f"{type(model).__name__} has {name!r} on the meta device, where tensors have no values. Load the "
                "weights first, such as with model.to_empty(device='cpu') and load_state_dict"
            )


def _without_layers(model: nn.Module) -> str:
    advice = "pass the model that has them"
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        advice = "layers of TorchScript can't be seen: examine the model before torch.jit.script or trace"
    elif find(model):
        advice = "its graph calls batch_norm as a function: examine the model that the graph was made of"
    return (
        f"{type(model).__name__} has no BN layer, so there is nothing to examine. Looked for layers of torch.nn and "
        f"normwise.nn, subclasses of theirs, and known layers of other libraries; {advice}"
    )
