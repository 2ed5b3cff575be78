"""Nodes of a graph that apply an activation which can be fused with batch normalization."""

import inspect
from types import FunctionType

from torch import fx
from torch.nn import functional as F

from normwise.activations import FIXED_SETTINGS
from normwise.dynamo.fake_values import are_alike, are_same, tensor_of
from normwise.kernels.torch_backend.activations import FUNCTIONS, METHODS

#: ``nn.ReLU6`` is a hardtanh with these limits.
_RELU6 = {"min_val": 0.0, "max_val": 6.0}


def activation_of(user: fx.Node, node: fx.Node) -> str | None:
    """Return the name of the activation that ``user`` applies to the output of ``node``; None for anything else."""
    if not user.args or user.args[0] is not node:
        return None
    y, activated = tensor_of(node), tensor_of(user)
    if (
        y is None
        or activated is None
        or not are_alike(y, activated)
        or not are_same(y.stride(), activated.stride())
    ):
        return None
    name, fixed = None, FIXED_SETTINGS
    if user.op == "call_method":
        name = METHODS.get(str(user.target))
    elif user.op == "call_function":
        name = FUNCTIONS.get(user.target)
        if user.target is F.hardtanh:
            name, fixed = "relu6", _RELU6
    if name is None:
        return None
    settings = _settings(user)
    # Settings other than the fixed ones make it another function.
    is_same = settings is not None and all(
        type(value) is bool if setting == "inplace" else setting in fixed and _equal(value, fixed[setting])
        for setting, value in settings.items()
    )
    return name if is_same else None


def _settings(node: fx.Node) -> dict[str, object] | None:
    """Return all arguments except the input by name, with defaults if known."""
    if isinstance(node.target, FunctionType):
        arguments = inspect.signature(node.target).bind(*node.args, **node.kwargs)
        arguments.apply_defaults()
        return dict(list(arguments.arguments.items())[1:])
    # Compiled functions and methods take settings by name.
    return dict(node.kwargs) if len(node.args) == 1 else None


def _equal(value: object, expected: object) -> bool:
    # A node, whose number is not known yet, is not a number.
    return isinstance(value, (int, float, str)) and value == expected
