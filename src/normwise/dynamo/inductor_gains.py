"""The batch normalization that is faster as normwise's operator than as what Inductor makes of it."""

from torch import fx
from torch.nn import functional as F

from normwise.dynamo.fake_values import tensor_of
from normwise.dynamo.fuse import Fusion

#: Functions that keep their input for the backward pass.
_KEEP_INPUT = {
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
    F.linear,
}


def gains(fusion: Fusion) -> bool:
    """Return whether the operator is taken in a graph that Inductor compiles.

    On a GPU it always is. On a CPU Inductor's loops take as many passes over memory as the kernels do, and join what
    stands beside them. They are slow where a ReLU's output is kept for no convolution or linear layer, and Inductor
    keeps a mask of its signs: the forward pass of BN and ReLU of (32, 16, 32, 32), channels last, took 6.2 ms alone,
    and 3.2 ms together with a 1×1 convolution behind it (one thread of an AMD EPYC, torch 2.13.0, GCC 12).
    """
    x, last = tensor_of(fusion.norm.x), fusion.chain[-1]
    if x is None or not x.is_cpu:
        return x is not None
    return fusion.activation == "relu" and not any(map(_keeps_input, last.users))


def _keeps_input(user: fx.Node) -> bool:
    return user.op == "call_function" and user.target in _KEEP_INPUT
