"""Our layers into any torch model, with the activations and additions behind them."""

from collections.abc import Mapping

from torch import nn

from normwise.errors import ModelError
from normwise.records import Acceleration, LayerChange
from normwise.statistics import Batch, arguments_of
from normwise.surgery.flow import Call, observe
from normwise.surgery.fuse import Fused, fuse
from normwise.surgery.layer import become_ours, is_ours
from normwise.surgery.trace import own_graph, replace_forward, shapes
from normwise.surgery.twin import twin
from normwise.surgery.verify import differences


def accelerate(
    model: nn.Module,
    example: Batch,
    *,
    inplace: bool = False,
) -> tuple[nn.Module, Acceleration]:
    """Put our BN layers into a model, and let each take over the activation and the addition behind it.

    Each module's own forward is followed by torch.fx, its children left as they are: where a BN layer's output
    goes into one activation, or is added to a tensor of its shape, the layer does that itself from now on.
    A forward that can't be followed is left, and its layers are only replaced. Before the model is handed
    out, its outputs and gradients are compared with the old one's on the example, in training and evaluation.

    The new model's modules are new; its parameters and buffers are the old one's, so that an optimiser
    made before works on both. Keys of the ``state_dict``, hooks, tied modules, dtypes, devices and modes stay. Whatever
    a forward decides by attributes of its module is decided for good; the dynamic classes of the modules
    that were changed can be copied, but not pickled: save the ``state_dict``.

    Args:
        model: Any model; only layers that are exactly ``torch.nn.BatchNorm1d``, ``2d`` or ``3d`` are replaced.
        example: One batch: the input; a tuple or list whose first item is the input; a dict of keywords.
        inplace: Change the model itself instead.

    Returns:
        The model, and what became of each of its BN layers.

    Raises:
        ModelError: the model fails on the example, or the new one's numbers differ.
    """
    args, kwargs = arguments_of(example)
    new = twin(model)
    kinds = {
        path: type(module).__name__
        for path, module in new.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    for path in kinds:
        become_ours(new.get_submodule(path))
    counts, calls = observe(new, args, kwargs)
    done: dict[nn.Module, Fused] = {}
    for module in list(new.modules()):
        done |= {
            layer: fused
            for layer, fused in _fuse_in(module, counts, calls).items()
            if layer not in done or not fused.reason
        }
    errors = differences(model, new, args, kwargs)
    report = Acceleration(
        tuple(_change(path, kind, new.get_submodule(path), done) for path, kind in kinds.items()),
        *errors,
    )
    if inplace:
        for old, changed in zip(list(model.modules()), list(new.modules()), strict=True):
            old.__class__ = changed.__class__
            if is_ours(changed):
                old.__dict__["activation"] = changed.activation
        new = model
    return new, report


def _fuse_in(
    module: nn.Module, counts: Mapping[nn.Module, int], calls: Mapping[nn.Module, Call]
) -> dict[nn.Module, Fused]:
    """What the layers that are called in ``module``'s own forward took over."""
    ours = [child for child in module.modules() if child is not module and is_ours(child)]
    if not ours or module not in calls:
        return {}
    try:
        graph = own_graph(module)
        sizes = shapes(module, graph, *calls[module])
    except ModelError as error:
        children = [child for child in module.children() if is_ours(child)]
        return {child: Fused(reason=f"of {type(module).__name__}: {error}") for child in children}
    done = fuse(module, graph, sizes, counts)
    if any(not fused.reason for fused in done.values()):
        replace_forward(module, graph)
    return done


def _change(path: str, kind: str, layer: nn.Module, done: Mapping[nn.Module, Fused]) -> LayerChange:
    if not is_ours(layer):
        reason = (
            f"{kind} may do anything in its forward; only torch.nn's own BatchNorm1d, 2d and 3d are replaced"
        )
        return LayerChange(path, kind, False, None, False, reason)
    fused = done.get(layer, Fused(reason="nothing that could be followed calls it"))
    return LayerChange(path, kind, True, fused.activation, fused.residual, fused.reason)
