"""Checks that surgery can work on a model, before anything is done."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from normwise.errors import ArgumentError, ModelError

#: Classes of wrappers, by name so that none is imported, with advice for each.
_WRAPPERS: Mapping[str, str] = {
    "torch._dynamo.eval_frame.OptimizedModule": (
        "is compiled by torch.compile; pass the model from before (its _orig_mod), and compile the result"
    ),
    "torch.nn.parallel.data_parallel.DataParallel": (
        "is a DataParallel around the model; pass its .module, and wrap the result"
    ),
    "torch.nn.parallel.distributed.DistributedDataParallel": (
        "is a DistributedDataParallel around the model; pass its .module, and wrap the result"
    ),
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel": (
        "is a FullyShardedDataParallel, whose parameters are in pieces on several processes; pass the model from "
        "before, and wrap the result"
    ),
    "torch.distributed.fsdp.FSDPModule": (
        "was given to fully_shard, so that its parameters are in pieces on several processes; pass the model from "
        "before, and shard the result"
    ),
}
_SCRIPTED: Mapping[str, str] = {
    "torch.jit._script.ScriptModule": (
        "is a ScriptModule, whose code can't be changed any more; pass the model from before torch.jit.script or "
        "torch.jit.trace"
    ),
}


def check_model(model: nn.Module, *, has_values: bool = True, is_wrapped: bool = False) -> None:
    """Raise an error for a model that is not a module, is wrapped, compiled or scripted, or has no values yet.

    Args:
        model: Object to check.
        has_values: Whether to refuse parameters and buffers that are not initialised, or on the meta device.
        is_wrapped: Whether to accept a model within a wrapper, for operations that neither run nor copy it.

    Raises:
        ArgumentError: the object is not a module.
        ModelError: the model can't be worked on; the error has the reason, the path, and what to pass instead.
    """
    if not isinstance(model, nn.Module):
        further = "; pass its .module()" if isinstance(model, torch.export.ExportedProgram) else ""
        raise ArgumentError(f"expected a torch.nn.Module as the model, got {type(model).__name__}{further}")
    advices = _SCRIPTED if is_wrapped else {**_SCRIPTED, **_WRAPPERS}
    for path, module in model.named_modules():
        where = f"the model's {path!r}" if path else "the model"
        for kind in type(module).__mro__:
            if advice := advices.get(f"{kind.__module__}.{kind.__qualname__}"):
                raise ModelError(f"{where} {advice}")
        if has_values:
            _check_values(path, module)


def _check_values(path: str, module: nn.Module) -> None:
    for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        if is_lazy(tensor):
            raise ModelError(
                f"{type(module).__name__} {path!r} has no weights yet; call the model on a batch first"
            )
        if tensor.is_meta:
            raise ModelError(
                f"{name} of {type(module).__name__} {path!r} is on the meta device, and has no values; give the model "
                "some first: model.to_empty(device=...), and load_state_dict"
            )
        if tensor.is_inference():
            raise ModelError(
                f"{name} of {type(module).__name__} {path!r} was made in torch.inference_mode, so that it can't be "
                "trained or changed; pass copy.deepcopy(model), made outside of it"
            )
