"""Why a BN layer can't be folded, or a convolution or linear layer can't take one over."""

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from normwise.layers import kind_of_norm
from normwise.layers.overridden import computes_as
from normwise.layers.reasons import NO_STATISTICS
from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.fold.algebra import scale_and_shift
from normwise.surgery.fold.channel_axis import source
from normwise.surgery.fold.foreign_frozen import reason_against

#: What can take a BN layer over, and how many axes it has beside batch and channels; a linear layer has any number.
MIXERS: dict[type[nn.Module], int] = {
    nn.Conv1d: 1,
    nn.Conv2d: 2,
    nn.Conv3d: 3,
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
    nn.Linear: 0,
}
_REMOVE = "make it permanent first (torch.nn.utils.parametrize.remove_parametrizations, torch.nn.utils.prune.remove)"


def of_batch_norm(layer: nn.Module, example: Tensor | None) -> str:
    """Return why the layer is nothing that can be folded; empty if it is. ``example`` is what it was called with."""
    kind = kind_of_norm(layer)
    if kind.family == "batch":
        if kind.computed:
            return (
                f"its {' and '.join(kind.computed)} is computed by a parametrization or by pruning; {_REMOVE}"
            )
        if layer.training:
            return "it is still training; call model.eval() first"
        if not kind.has_statistics:
            return f"it {NO_STATISTICS}, so that it normalises each batch by its own"
        if kind.forward_of is None or kind.has_own_attributes:
            return f"{type(layer).__name__} may do anything in its forward"
    if has_hooks(layer):
        return "it has hooks, which see its own input or output"
    mean, var = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
    if not (mean.isfinite() & var.isfinite() & (var >= 0)).all():
        wrong = int((~(mean.isfinite() & var.isfinite() & (var >= 0))).nonzero()[0])
        return (
            f"its running statistics of channel {wrong} are the mean {mean[wrong].item():g} and the variance "
            f"{var[wrong].item():g}; calibrate the model first"
        )
    if not all(value.isfinite().all() for value in scale_and_shift(layer)):
        return "its scale or shift is not finite"
    if kind.family == "frozen" and example is not None:
        return reason_against(layer, example.shape)
    return ""


def of_call(layer: nn.Module, node: fx.Node) -> str:
    """Why a BN layer that is called so can't be folded; empty if it can."""
    given = dict(node.kwargs)
    others = (
        given.keys() - {"input"} - ({"residual", "mask"} if kind_of_norm(layer).adds_and_activates else set())
    )
    if source(node) is None or len(node.args) + ("input" in given) != 1 or others:
        return "it is called with arguments other than its input"
    return ""


def of_mixer(module: nn.Module | None, name: str) -> str:
    """Why the module is no convolution or linear layer that can take over a BN layer; empty if it is."""
    origin = type(module).__module__
    if origin.startswith("torch.ao.nn"):
        return f"{name} is quantised; fold before quantising"
    base = next((base for base in MIXERS if isinstance(module, base)), None)
    if module is None or base is None:
        return f"{name} is no convolution or linear layer"
    if not computes_as(module, base):
        return f"{name} may do anything in its forward"
    if parametrize.is_parametrized(module):
        return f"the weight or bias of {name} is computed by a parametrization; {_REMOVE}"
    if has_hooks(module):
        return f"{name} has hooks, which see its own input or output, or compute its weight"
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
    if type(weight) is not nn.Parameter or type(bias) not in (nn.Parameter, type(None)):
        return f"the weight or bias of {name} is no plain parameter"
    return ""
