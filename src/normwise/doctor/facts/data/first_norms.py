"""The BN layers that see the data first: no other BN layer is before them."""

from normwise.doctor.facts.passes.flow import Flow, Op


def first_norms(flow: Flow) -> frozenset[str]:
    """Return the paths of the BN layers whose inputs no other BN layer has normalised, in any call."""
    behind: dict[Op, bool] = {}
    first: dict[str, bool] = {}
    # Operations are in order, so the inputs of an operation were visited before it.
    for op in flow.ops:
        follows = any(behind.get(one, False) or one.name == "norm" for one in op.inputs)
        behind[op] = follows
        if op.name == "norm":
            first[op.path] = first.get(op.path, True) and not follows
    return frozenset(path for path, is_first in first.items() if is_first)
