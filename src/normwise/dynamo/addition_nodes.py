"""Nodes of a graph that add a tensor of the same shape and type to the output of batch normalization."""

import operator

import torch
from torch import fx

from normwise.dynamo.fake_values import are_alike, are_same, tensor_of

_FUNCTIONS = {operator.add, operator.iadd, torch.add}
_METHODS = {"add", "add_"}
_IN_PLACE = {operator.iadd, "add_"}


def addend_of(user: fx.Node, node: fx.Node) -> fx.Node | None:
    """Return the node that ``user`` adds to the output of ``node``; None if it does anything else.

    The sum has the addend's shape, dtype and device, and the memory format of ``node``'s output.
    """
    known = _FUNCTIONS if user.op == "call_function" else _METHODS if user.op == "call_method" else ()
    if (
        user.target not in known
        or len(user.args) != 2
        or any(
            name != "alpha" or type(value) not in (int, float) or value != 1
            for name, value in user.kwargs.items()
        )
    ):
        return None
    first, second = user.args
    if first is second or (user.target in _IN_PLACE and first is not node):
        # An in-place addition changes its first operand, which other nodes may still use.
        return None
    addend = second if first is node else first
    y, added, total = tensor_of(node), tensor_of(addend), tensor_of(user)
    if y is None or added is None or total is None or not isinstance(addend, fx.Node):
        return None
    fits = are_alike(y, added) and are_alike(y, total) and are_same(y.stride(), total.stride())
    return addend if fits else None
