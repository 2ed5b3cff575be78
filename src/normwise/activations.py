"""The activations that a layer can fuse, in one table from which all other lists are made.

To add an activation, add a row here. Backends that can't compute it leave such calls to torch's operators; for the
compiled kernels, add a case to both switches of ``csrc/vectors/activation.h``, and the name to ``csrc/call.h``.

This module needs only NumPy: names of torch are text, and ``normwise.reference`` runs without torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    """An activation, as torch defines it.

    Attributes:
        name: Name in the argument ``activation`` of layers and functions.
        number: Number of the activation in the compiled kernels; 0 means no activation.
        function: The function in NumPy, float64.
        derivative: Derivative of the function; at a kink, torch's choice.
        module: Class in ``torch.nn`` that computes the activation.
        functions: Functions of torch that compute the activation, by their paths in ``torch``; we call the first.
        methods: Methods of a tensor that compute the activation.
        in_place: Function of torch that overwrites its input, by its path in ``torch``; None if there is none.
        kinks: Inputs at which the derivative jumps.
        invertible: Whether the input can be computed from the output.
        slope_from_output: Whether the sign of the output determines the derivative, which is 0 or 1.
    """

    name: str
    number: int
    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    module: str
    functions: tuple[str, ...]
    methods: tuple[str, ...] = ()
    in_place: str | None = None
    kinks: tuple[float, ...] = ()
    invertible: bool = False
    slope_from_output: bool = False


def _sigmoid(z: Array) -> Array:
    # exp of a negative number only: it cannot overflow.
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _gaussian_cdf(z: Array) -> Array:
    return np.reshape([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in z.ravel()], z.shape)


def _gaussian_pdf(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


_ROWS = (
    Activation(
        "relu",
        1,
        lambda z: np.maximum(z, 0.0),
        lambda z: np.where(z > 0, 1.0, 0.0),
        "ReLU",
        ("relu", "relu_", "nn.functional.relu"),
        ("relu", "relu_"),
        in_place="relu_",
        kinks=(0.0,),
        slope_from_output=True,
    ),
    Activation(
        "relu6",
        2,
        lambda z: np.clip(z, 0.0, 6.0),
        lambda z: np.where((z > 0) & (z < 6), 1.0, 0.0),
        "ReLU6",
        ("nn.functional.relu6",),
        kinks=(0.0, 6.0),
    ),
    Activation(
        "leaky_relu",
        3,
        lambda z: np.where(z > 0, z, 0.01 * z),
        lambda z: np.where(z > 0, 1.0, 0.01),
        "LeakyReLU",
        ("nn.functional.leaky_relu",),
        kinks=(0.0,),
        invertible=True,
    ),
    Activation(
        "elu",
        4,
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
        lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0.0))),
        "ELU",
        ("nn.functional.elu",),
    ),
    Activation(
        "gelu",
        5,
        lambda z: z * _gaussian_cdf(z),
        lambda z: _gaussian_cdf(z) + z * _gaussian_pdf(z),
        "GELU",
        ("nn.functional.gelu",),
    ),
    Activation(
        "silu",
        6,
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) * (1.0 + z * (1.0 - _sigmoid(z))),
        "SiLU",
        ("nn.functional.silu",),
    ),
    Activation(
        "hardswish",
        7,
        lambda z: z * np.clip(z + 3.0, 0.0, 6.0) / 6.0,
        lambda z: np.where(z <= -3, 0.0, np.where(z < 3, z / 3.0 + 0.5, 1.0)),
        "Hardswish",
        ("nn.functional.hardswish",),
        kinks=(-3.0, 3.0),
    ),
    Activation(
        "sigmoid",
        8,
        _sigmoid,
        lambda z: _sigmoid(z) * (1.0 - _sigmoid(z)),
        "Sigmoid",
        ("sigmoid", "nn.functional.sigmoid"),
        ("sigmoid", "sigmoid_"),
        in_place="sigmoid_",
    ),
    Activation(
        "tanh",
        9,
        np.tanh,
        lambda z: 1.0 - np.tanh(z) ** 2,
        "Tanh",
        ("tanh", "nn.functional.tanh"),
        ("tanh", "tanh_"),
        in_place="tanh_",
    ),
)

#: Every activation by name. ``leaky_relu`` has torch's default slope of 0.01, ``gelu`` is the exact one, ``elu`` has
#: alpha 1.
ACTIVATIONS: dict[str, Activation] = {row.name: row for row in _ROWS}
#: Settings of torch's modules and functions that are fixed in these activations: another value is another
#: function.
FIXED_SETTINGS = {"negative_slope": 0.01, "alpha": 1.0, "approximate": "none"}
