"""Obstacles to folding: in a BN layer, in the call of it, and in the layer that would take it over."""

from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from normwise.layers import kind_of_norm
from normwise.layers.overridden import computes_as
from normwise.layers.reasons import NO_STATISTICS
from normwise.nn.tools.hooks import has_hooks
from normwise.surgery.core.decision import LeftError
from normwise.surgery.fold.algebra import scale_and_shift
from normwise.surgery.fold.channel_axis import source
from normwise.surgery.proof.foreign_layer import check_foreign

#: Layers that can take over a BN layer, with their number of axes besides batch and channels; a linear layer
#: has any.
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


class NoCandidateError(LeftError):
    """Reason why there is no convolution or linear layer on one side of a BN layer."""


def check_batch_norm(layer: nn.Module, example: Tensor | None) -> None:
    """Check that a BN layer can be folded; ``example`` has the arguments of its call.

    Raises:
        LeftError: the layer can't be folded.
    """
    kind = kind_of_norm(layer)
    if kind.family == "batch":
        if kind.computed:
            raise LeftError(
                f"its {' and '.join(kind.computed)} is computed by a parametrization or by pruning; {_REMOVE}"
            )
        if layer.training:
            raise LeftError("it is still training; call model.eval() first")
        if not kind.has_statistics:
            raise LeftError(f"it {NO_STATISTICS}, so that it normalises each batch by its own")
        unknown = kind.forward_of is None and kind.adapter is None
        if unknown or "forward" in vars(layer) or kind.has_own_attributes:
            raise LeftError(f"{type(layer).__name__} may do anything in its forward")
    if has_hooks(layer):
        raise LeftError("it has hooks, which see its own input or output")
    mean, var = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
    if not (mean.isfinite() & var.isfinite() & (var >= 0)).all():
        wrong = int((~(mean.isfinite() & var.isfinite() & (var >= 0))).nonzero()[0])
        raise LeftError(
            f"its running statistics of channel {wrong} are the mean {mean[wrong].item():g} and the variance "
            f"{var[wrong].item():g}; calibrate the model first"
        )
    if not all(value.isfinite().all() for value in scale_and_shift(layer)):
        raise LeftError("its scale or shift is not finite")
    if kind.adapter is not None and example is not None:
        check_foreign(kind, example)


def check_call(layer: nn.Module, node: fx.Node) -> None:
    """Check that the call of a BN layer by ``node`` can be folded.

    Raises:
        LeftError: the call can't be folded.
    """
    given = dict(node.kwargs)
    others = (
        given.keys() - {"input"} - ({"residual", "mask"} if kind_of_norm(layer).adds_and_activates else set())
    )
    if source(node) is None or len(node.args) + ("input" in given) != 1 or others:
        raise LeftError("it is called with arguments other than its input")


def checked_mixer(module: nn.Module | None, name: str, *, is_proven: bool) -> nn.Module:
    """Return the module if it is a convolution or linear layer that can take over a BN layer.

    Args:
        module: Module to check, or None.
        name: Class and path of the module.
        is_proven: Whether its own forward was proven to allow it.

    Raises:
        NoCandidateError: the module is not such a layer.
        LeftError: the module is such a layer, but has an obstacle.
    """
    base = next((base for base in MIXERS if isinstance(module, base)), None)
    if type(module).__module__.startswith("torch.ao.nn"):
        kind = NoCandidateError if base is None else LeftError
        raise kind(f"{name} is quantised; fold before quantising")
    if module is None or base is None:
        raise NoCandidateError(f"{name} is not a convolution or linear layer")
    if not is_proven and not computes_as(module, base):
        raise LeftError(f"{name} may do anything in its forward")
    if parametrize.is_parametrized(module):
        raise LeftError(f"the weight or bias of {name} is computed by a parametrization; {_REMOVE}")
    if has_hooks(module):
        raise LeftError(f"{name} has hooks, which see its own input or output, or compute its weight")
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
    if type(weight) is not nn.Parameter or type(bias) not in (nn.Parameter, type(None)):
        raise LeftError(f"the weight or bias of {name} is not a plain parameter")
    return module
