"""Our layers into any torch model, with the activations and additions behind them."""

from collections.abc import Collection, Mapping, Sequence

from torch import nn

from normwise.errors import ModelError
from normwise.layers import LayerKind, batch_norms
from normwise.records import Acceleration, LayerChange
from normwise.statistics import Batch
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.accelerate.fuse import Fused, FusedCall
from normwise.surgery.accelerate.plans import Plan, Reasons, find_plans
from normwise.surgery.accelerate.replace_layer import become_ours, compute_foreign
from normwise.surgery.accelerate.rewritten import take_back
from normwise.surgery.core.decision import reason_of
from normwise.surgery.core.operation import Operation, operation
from normwise.surgery.graph.model_graph import observe
from normwise.surgery.proof.compare import Differences


def accelerate(
    model: nn.Module,
    example: Batch,
    *,
    inplace: bool = False,
) -> tuple[nn.Module, Acceleration]:
    """Put our BN layers into a model, and compute the activation and the addition behind each in one call with it.

    Each module's own forward pass is followed by torch.fx, its children left as they are. Where a BN layer's output
    goes into one activation, or is added to a tensor of its shape, the three become one call. A forward pass is
    rewritten only where it is nothing but calls of modules and of torch's functions: one that also sets attributes,
    writes into lists, enters contexts, draws random numbers, calls anything else, or decides by anything but its
    attributes and its arguments' being tensors or constants, is left as it is, and its layers are only replaced. The
    report says why.

    At each call a rewritten pass asks first whether those attributes and arguments are what they were; where they are
    not, it is the old one. A layer or an activation that was exchanged since, or was given hooks, is called by itself.
    So no activation is lost when ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` or a fuser of torch exchanges the
    layers afterwards, nor when torch.fx or torch.jit.script reads the model. (A layer that was built with
    ``activation=`` is another matter; see :class:`normwise.nn.BatchNorm1d`.)

    Before the model is handed out, its outputs and gradients are compared with the old one's on the example, in
    training and evaluation. A rewritten forward pass that makes them differ is taken back. Under
    autocast and with TF32 the models are compared in float64, too, where a fault can be told from rounding.

    The new model's modules are new; its parameters and buffers are the old one's, so that an optimiser
    made before works on both. Keys of the ``state_dict``, hooks, tied modules, dtypes, devices and modes stay, and it
    can be copied, pickled and compiled as the old one can.

    Args:
        model: Any model; only layers that are exactly ``torch.nn.BatchNorm1d``, ``2d`` or ``3d`` are replaced.
            Our kernels compute timm's ``BatchNormAct2d`` and BN of constants for images, too, which stay instances of
            their classes.
        example: One batch: the input; a tuple or list whose first item is the input; a dict of keywords.
        inplace: Change the model itself instead.

    Returns:
        The model, and what became of each of its BN layers.

    Raises:
        ModelError: the model is of a kind that can't be changed (scripted, compiled, wrapped, on the meta device), it
            fails on the example, or the new one's numbers differ. It is left as it was.
        ArgumentError: the example is no batch, or proves nothing.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
        >>> model, report = normwise.accelerate(model, torch.randn(2, 3, 9, 9))
        >>> report.layers[0].activation
        'relu'
    """
    with operation(model, example, inplace=inplace, shares=True) as running:
        new = running.new
        norms = {path: kind for path, kind in batch_norms(new).items() if not kind.traits.several_slots}
        classes = {path: type(kind.layer).__name__ for path, kind in norms.items()}
        calls = observe(new, running.arguments)[1]
        foreign = {
            path: compute_foreign(path, kind, calls.get(kind.layer))
            for path, kind in norms.items()
            if kind.adapter is not None
        }
        norms = {path: become_ours(kind) for path, kind in norms.items() if path not in foreign}
        fusing = {kind.layer for kind in norms.values() if kind.fuses}
        with unchanged(new):
            plans, reasons = find_plans(new, calls, fusing)
        proven, found = _prove(running, plans, reasons)
        by_layer: dict[nn.Module, list[FusedCall]] = {}
        for plan in proven:
            for call in plan.calls:
                by_layer.setdefault(plan.module.get_submodule(call.path), []).append(call)
        decisions = [
            foreign[path] if path in foreign else _decide(path, name, norms[path], by_layer, reasons, calls)
            for path, name in classes.items()
        ]
        running.decisions = decisions
    return new, Acceleration(
        tuple(map(_record, decisions)), found.outputs, found.gradients, found.sensitivity, found.left_out
    )


def _prove(running: Operation, plans: Sequence[Plan], reasons: Reasons) -> tuple[list[Plan], Differences]:
    """Rewrite, compare, and take back what makes numbers differ.

    Returns:
        The plans that hold, and how far the numbers are from the old model's; the reasons of others are added.

    Raises:
        ModelError: the numbers differ even where no forward pass is rewritten.
    """
    rewritten: list[Plan] = []
    for plan in plans:
        try:
            plan.rewrite()
            rewritten.append(plan)
        except Exception as error:
            reasons |= plan.reasons(reason_of(error))
    try:
        return rewritten, running.compare_all()
    except ModelError:
        for plan in rewritten:
            take_back(plan.module)
    # Some forward pass makes them differ: one after the other.
    found = running.compare_all()
    proven: list[Plan] = []
    for plan in rewritten:
        plan.rewrite()
        try:
            found = running.compare_all()
            proven.append(plan)
        except ModelError as error:
            take_back(plan.module)
            reasons |= plan.reasons(f"rewritten, {str(error).split(';')[0]}")
    return proven, found


def _decide(
    path: str,
    name: str,
    kind: LayerKind,
    by_layer: Mapping[nn.Module, list[FusedCall]],
    reasons: Reasons,
    calls: Collection[nn.Module],
) -> FusedCall:
    """Return the decision on a BN layer, from those on all calls of it."""
    layer = kind.layer
    if not kind.fuses:
        reason = (
            f"{name} may do anything in its forward; only torch.nn's own BatchNorm1d, 2d and 3d are replaced"
        )
        return FusedCall(path, name, False, reason)
    of_layer = by_layer.get(layer, [])
    if not of_layer:
        missed = "nothing that could be followed calls it"
        if layer not in calls:
            missed = "the example does not reach it"
        return FusedCall(path, name, True, reasons.get(layer, missed))
    chosen = next((call for call in of_layer if call.changed), of_layer[0])
    reason = chosen.reason
    alike = sum(call.fused == chosen.fused for call in of_layer)
    if chosen.changed and alike < len(of_layer):
        reason = f"in {alike} of {len(of_layer)} calls"
    return FusedCall(path, name, True, reason, chosen.fused)


def _record(decision: FusedCall) -> LayerChange:
    fused = decision.fused or Fused()
    return LayerChange(
        decision.path, decision.kind, decision.changed, fused.activation, fused.residual, decision.reason
    )
