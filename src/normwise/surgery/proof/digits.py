"""Precision that a model computes with: autocast, TF32 and casts may leave fewer digits than its parameters have."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.proof.run_model import Gradients, run_model

#: Machine epsilon of float32.
FLOAT32 = torch.finfo(torch.float32).eps
#: Machine epsilon of the dtypes in which torch may multiply float32 numbers; TF32 keeps 10 bits, as float16
#: does.
_REDUCED = {"tf32": 2.0**-10, "bf16": torch.finfo(torch.bfloat16).eps}
#: Suffixes of the names of operators that multiply matrices.
_MATMULS = ("mm", "linear", "matmul")


def epsilon_of_parameters(model: nn.Module) -> float:
    """Return the machine epsilon of a model's parameters, or of torch's default dtype if it has none."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return torch.finfo(dtype).eps


def epsilon_of_computation(model: nn.Module, training: bool, arguments: Arguments) -> float:
    """Return the largest machine epsilon in a forward pass of a model, and at least that of its parameters.

    Every operator of the pass is observed, so it doesn't matter where autocast was entered. For a model that can't
    be observed, it is that of its parameters and of the autocast around the call.
    """
    known = max(epsilon_of_parameters(model), *map(_of_autocast, _device_types(model, arguments)))
    try:
        with _Observer() as seen:
            run_model(model, training, arguments, Gradients.NONE)
    except Exception:  # code that can't run within a dispatch mode
        return known
    return max(known, seen.epsilon)


def epsilon_of_float32(operator: str, device_type: str) -> float:
    """Return the machine epsilon of the dtype in which an operator multiplies float32 numbers.

    Args:
        operator: Name of an ATen operator, such as ``"convolution"``.
        device_type: Type of the device, ``"cuda"`` or ``"cpu"``; others multiply in float32.
    """
    if "convolution" in operator:
        kind = "conv"
    elif "rnn" in operator:
        kind = "rnn"
    elif operator.endswith(_MATMULS) or "attention" in operator:
        kind = "matmul"
    else:
        return FLOAT32
    return _REDUCED.get(_precision(kind, device_type), FLOAT32)


def _precision(kind: str, device_type: str) -> str:
    """Return torch's setting for "conv", "rnn" or "matmul", such as "tf32"."""
    if device_type not in ("cuda", "cpu"):
        return "ieee"
    backends = torch.backends
    libraries: Any = (
        backends.mkldnn if device_type == "cpu" else backends.cuda if kind == "matmul" else backends.cudnn
    )
    setting = getattr(getattr(libraries, kind, None), "fp32_precision", None)
    if setting is not None:
        return setting
    # torch 2.8 has other names for them; newer releases raise if both are used.
    if device_type == "cpu":
        of_matmuls = {"high": "tf32", "medium": "bf16"}.get(torch.get_float32_matmul_precision(), "ieee")
        return of_matmuls if kind == "matmul" else "ieee"
    allowed = backends.cuda.matmul.allow_tf32 if kind == "matmul" else backends.cudnn.allow_tf32
    return "tf32" if allowed else "ieee"


class _Observer(TorchDispatchMode):
    """Mode that records the largest machine epsilon of operators' results, after autocast converted their inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.epsilon = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for value in pytree.tree_leaves(outputs):
            if isinstance(value, Tensor) and value.is_floating_point():
                epsilon = torch.finfo(value.dtype).eps
                if value.dtype is torch.float32:
                    epsilon = epsilon_of_float32(func.overloadpacket.__name__, value.device.type)
                self.epsilon = max(self.epsilon, epsilon)
        return outputs


def _device_types(model: nn.Module, arguments: Arguments) -> set[str]:
    tensors = [*model.parameters(), *model.buffers(), *pytree.tree_leaves(arguments)]
    return {tensor.device.type for tensor in tensors if isinstance(tensor, Tensor)} | {"cpu"}


def _of_autocast(device_type: str) -> float:
    if not is_autocast_available(device_type) or not torch.is_autocast_enabled(device_type):
        return 0.0
    return torch.finfo(torch.get_autocast_dtype(device_type)).eps
