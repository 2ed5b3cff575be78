"""Our layers into any torch model, with the activations and additions behind them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from normwise.errors import ModelError
from normwise.layers import LayerKind, batch_norms
from normwise.records import Acceleration, LayerChange
from normwise.statistics import Batch
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.accelerate.fuse import Fused, fuse
from normwise.surgery.accelerate.guards import Conditions, conditions
from normwise.surgery.accelerate.module_graph import own_forward
from normwise.surgery.accelerate.replace_torch_layer import become_ours
from normwise.surgery.accelerate.rewritten import Rewritten, original_class, rewrite
from normwise.surgery.core.example_arguments import Call, example_arguments
from normwise.surgery.core.working_copy import workpiece
from normwise.surgery.graph.model_graph import observe
from normwise.surgery.proof.compare import Differences
from normwise.surgery.proof.on_example import all_differences


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
    training and evaluation. A rewritten forward pass that makes them differ is taken back.

    The new model's modules are new; its parameters and buffers are the old one's, so that an optimiser
    made before works on both. Keys of the ``state_dict``, hooks, tied modules, dtypes, devices and modes stay, and it
    can be copied, pickled and compiled as the old one can.

    Args:
        model: Any model; only layers that are exactly ``torch.nn.BatchNorm1d``, ``2d`` or ``3d`` are replaced.
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
    call = example_arguments(example)
    with workpiece(model, inplace, call, shares=True) as (old, new):
        return new, _accelerated(old, new, call)


def _accelerated(old: nn.Module, new: nn.Module, call: Call) -> Acceleration:
    norms = {path: kind for path, kind in batch_norms(new).items() if kind.family == "batch"}
    classes = {path: type(kind.layer).__name__ for path, kind in norms.items()}
    norms = {path: become_ours(kind) for path, kind in norms.items()}
    calls = observe(new, *call)[1]
    with unchanged(new):
        plans, reasons = _plans(new, calls, {kind.layer for kind in norms.values() if kind.fuses})
    found = _prove(old, new, call, plans, reasons)
    done: dict[nn.Module, list[Fused]] = {}
    for plan in plans:
        for path, fused in plan.fused:
            done.setdefault(plan.module.get_submodule(path), []).append(fused)
    return Acceleration(
        tuple(_change(path, classes[path], kind, done, reasons, calls) for path, kind in norms.items()),
        found.outputs,
        found.gradients,
        found.sensitivity,
        found.left_out,
    )


@dataclass
class _Plan:
    """A forward pass that is to be rewritten.

    Attributes:
        module: Whose it is.
        graph: What it becomes.
        conditions: When that is the same.
        inputs: The graph's inputs, as expressions.
        fused: What became of each BN layer that it calls, by its path in the module.
    """

    module: nn.Module
    graph: fx.Graph
    conditions: Conditions
    inputs: list[str]
    fused: list[tuple[str, Fused]]


def _plans(
    model: nn.Module, calls: Mapping[nn.Module, Call], fusing: Collection[nn.Module]
) -> tuple[list[_Plan], dict[nn.Module, str]]:
    """Return the forward passes to rewrite, and by layer why the one that calls it is not."""
    plans: list[_Plan] = []
    reasons: dict[nn.Module, str] = {}
    for module in model.modules():
        layers = [child for child in module.modules() if child is not module and child in fusing]
        if not layers or module not in calls:
            continue
        try:
            if isinstance(module, Rewritten):
                raise ModelError("it was accelerated before, and stays so")
            own = own_forward(module, calls[module])
            fused = fuse(module, own.graph, own.kinds)
            if any(not one.reason for _, one in fused):
                asked = conditions(module, own.names, calls[module], fused)
                plans.append(_Plan(module, own.graph, asked, _inputs(calls[module]), fused))
            else:
                reasons |= {module.get_submodule(path): one.reason for path, one in fused}
        except Exception as error:  # whatever goes wrong in somebody else's code, the module is left as it is
            said = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}"
            for layer in _called_by(module, layers, calls):
                reasons.setdefault(layer, f"of {type(module).__name__}: {said.splitlines()[0]}")
    return plans, reasons


def _called_by(
    module: nn.Module, layers: Iterable[nn.Module], calls: Mapping[nn.Module, Call]
) -> list[nn.Module]:
    """Return those of the layers that no module between calls: between are only ones that are never called."""
    found: list[nn.Module] = []

    def look(parent: nn.Module) -> None:
        for child in parent.children():
            found.append(child)
            if child not in calls:
                look(child)

    look(module)
    return [layer for layer in layers if layer in found]


def _inputs(call: Call) -> list[str]:
    args, kwargs = call
    return [f"args[{i}]" for i, value in enumerate(args) if isinstance(value, Tensor)] + [
        f"kwargs[{name!r}]" for name, value in kwargs.items() if isinstance(value, Tensor)
    ]


def _prove(
    old: nn.Module,
    new: nn.Module,
    call: Call,
    plans: list[_Plan],
    reasons: dict[nn.Module, str],
) -> Differences:
    """Rewrite, compare, and take back what makes numbers differ; plans that don't hold are removed from the list.

    Raises:
        ModelError: the numbers differ even where no forward pass is rewritten.
    """
    held: list[_Plan] = []
    for plan in plans:
        try:
            rewrite(plan.module, plan.graph, plan.conditions, plan.inputs)
            held.append(plan)
        except Exception as error:
            _leave(plan, reasons, str(error).splitlines()[0])
    try:
        plans[:] = held
        return all_differences(old, new, *call)
    except ModelError:
        for plan in held:
            _take_back(plan)
    found = all_differences(old, new, *call)
    plans.clear()
    for plan in held:
        rewrite(plan.module, plan.graph, plan.conditions, plan.inputs)
        try:
            found = all_differences(old, new, *call)
            plans.append(plan)
        except ModelError as error:
            _take_back(plan)
            _leave(plan, reasons, f"rewritten, {str(error).split(';')[0]}")
    return found


def _take_back(plan: _Plan) -> None:
    plan.module.__class__ = original_class(type(plan.module))


def _leave(plan: _Plan, reasons: dict[nn.Module, str], reason: str) -> None:
    said = f"of {type(plan.module).__name__}: {reason}"
    reasons |= {plan.module.get_submodule(path): said for path, _ in plan.fused}


def _change(
    path: str,
    name: str,
    kind: LayerKind,
    done: Mapping[nn.Module, list[Fused]],
    reasons: Mapping[nn.Module, str],
    calls: Mapping[nn.Module, Any],
) -> LayerChange:
    layer = kind.layer
    if not kind.fuses:
        reason = (
            f"{name} may do anything in its forward; only torch.nn's own BatchNorm1d, 2d and 3d are replaced"
        )
        return LayerChange(path, name, False, None, False, reason)
    sites = done.get(layer, [])
    fused = next((one for one in sites if not one.reason), sites[0] if sites else None)
    if fused is None:
        missed = (
            "the example does not reach it"
            if layer not in calls
            else "nothing that could be followed calls it"
        )
        return LayerChange(path, name, True, None, False, reasons.get(layer, missed))
    reason = fused.reason
    if not reason and any(one != fused for one in sites):
        reason = f"in {sum(one == fused for one in sites)} of {len(sites)} calls"
    return LayerChange(path, name, True, fused.activation, fused.residual, reason)
