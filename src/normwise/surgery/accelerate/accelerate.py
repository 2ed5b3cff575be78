"""Replacement of BN layers in any torch model by ours, fused with the following activations and additions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

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
from normwise.surgery.proof.speedup import speedup


def accelerate(
    model: nn.Module,
    example: Batch,
    *,
    inplace: bool = False,
    timed: bool = True,
) -> tuple[nn.Module, Acceleration]:
    """Replace BN layers of a model by ours, and compute the activation and addition after each in the same call.

    torch.fx traces each module's own forward pass, with its children as leaves. If a BN layer's output goes into
    one activation, or is added to a tensor of its shape, the operations become one call. A forward pass is
    rewritten only if it consists of calls of modules and of torch's functions. If it also sets attributes, writes
    into lists, enters contexts, draws random numbers, calls anything else, or branches on anything but its
    attributes and the kinds of its arguments (tensors or constants), it is left unchanged, and its layers are only
    replaced. The report says why.

    At each call, a rewritten pass first checks whether these attributes and arguments are the same; if not, the old
    forward runs. A layer or an activation that was exchanged since, or got hooks, is called separately. So no
    activation is lost when ``torch.nn.SyncBatchNorm.convert_sync_batchnorm`` or a fuser of torch exchanges the
    layers afterwards, or when torch.fx or torch.jit.script reads the model. (For a layer that was built with
    ``activation=``, see :class:`normwise.nn.BatchNorm1d`.)

    Before the model is returned, its outputs and gradients are compared with the old model's on the example, in
    training and in evaluation. A rewritten forward pass that makes them differ is undone. Under autocast and with
    TF32 the models are also compared in float64, where a fault can be distinguished from rounding.

    The new model has new modules, but shares parameters and buffers with the old one, so an existing optimiser
    works on both. Keys of the ``state_dict``, hooks, tied modules, dtypes, devices and modes are kept, and the
    model can be copied, pickled and compiled like the old one.

    Args:
        model: Model to accelerate. Only layers that are exactly ``torch.nn.BatchNorm1d``, ``2d`` or ``3d`` are
            replaced. Our kernels also compute timm's ``BatchNormAct2d`` and frozen BN for images, which stay
            instances of their classes.
        example: One batch: the input, a tuple or list whose first item is the input, or a dict of keyword
            arguments; keys that forward has no argument for, such as ``labels``, are left out.
        inplace: Change the model itself instead of a copy.
        timed: Measure the speed-up of a training pass, in about a second.

    Returns:
        The model, and a report on each of its BN layers.

    Raises:
        ModelError: the model can't be changed (scripted, compiled, wrapped, on the meta device), it fails on the
            example, or the new model's numbers differ. The model is unchanged.
        ArgumentError: the example is not a batch, or proves nothing.

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
        ours = {path for path, kind in norms.items() if kind.ours}
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
        changes = tuple(_record(decision, is_old=decision.path in ours) for decision in decisions)
        report = Acceleration(changes, found.outputs, found.gradients, found.sensitivity, found.left_out)
        # Nothing was left out: the model can train on the example.
        if timed and report.has_changed and not found.left_out:
            median, low, high = speedup(running.old, new, running.arguments, trains=True)
            report = replace(report, speedup=median, speedup_low=low, speedup_high=high)
    return new, report


def _prove(running: Operation, plans: Sequence[Plan], reasons: Reasons) -> tuple[list[Plan], Differences]:
    """Rewrite forward passes, compare, and undo those that make numbers differ.

    Returns:
        The plans that passed, and the distance of the numbers from the old model's; reasons of the others are
        added.

    Raises:
        ModelError: the numbers differ even if no forward pass is rewritten.
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
    # Some forward pass makes them differ: try them one after the other.
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
    """Return the decision on a BN layer from the decisions on all its calls."""
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


def _record(decision: FusedCall, *, is_old: bool) -> LayerChange:
    fused = decision.fused or Fused()
    return LayerChange(
        decision.path,
        decision.kind,
        decision.changed,
        fused.activation,
        fused.residual,
        decision.reason,
        is_old,
    )
