"""BN layers of torch and of other libraries, computed by our kernels."""

from normwise.layers import LayerKind, input_of_call, kind_of_norm
from normwise.layers.known_classes import conversion_families
from normwise.nn.mixins.change_class import change_class
from normwise.nn.mixins.followed import (
    FusedConstants,
    FusedFollowed,
    fuse_constants,
    fuse_followers,
    fused_activation,
)
from normwise.surgery.accelerate.fuse import Fused, FusedCall
from normwise.surgery.core.decision import LeftError
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.proof.foreign_layer import check_foreign


def become_ours(kind: LayerKind) -> LayerKind:
    """Turn a layer that is exactly torch's into ours, in place, with all its attributes, hooks and mode.

    Return the layer afterwards. Any other layer, also a subclass, is left unchanged.
    """
    if not kind.exact or kind.traits.conversion != "torch":
        return kind
    ours = conversion_families()["batch"].items()
    change_class(kind.layer, next(own for own, dimensions in ours if dimensions == kind.traits.dimensions))
    return kind_of_norm(kind.layer)


def compute_foreign(path: str, kind: LayerKind, call: Arguments | None) -> FusedCall:
    """Make our kernels compute a layer for images, in place; its class becomes a subclass with our mixin.

    Args:
        path: Path of the layer in the model.
        kind: BN layer of another library.
        call: Arguments of its call on the example; None if the example does not reach it.

    Returns:
        The decision, with the activation that is computed together with the normalization.
    """
    layer, name = kind.layer, type(kind.layer).__name__
    try:
        if len(kind.traits.dimensions) > 1:
            raise LeftError(
                f"{name} may exchange statistics between processes, which only its own forward does"
            )
        if "forward" in vars(layer):
            raise LeftError("its forward was replaced by another one")
        if call is None:
            raise LeftError("the example does not reach it")
        if (x := input_of_call(*call)) is None or x.dim() != 4:
            raise LeftError("it is called with something else than images")
        check_foreign(kind, x, trains=kind.learns_statistics)
    except LeftError as left:
        return FusedCall(path, name, False, str(left))
    if kind.family == "frozen" and not isinstance(layer, FusedConstants):
        fuse_constants(layer, kind.followers, kind.eps)
    elif kind.family == "batch" and not isinstance(layer, FusedFollowed):
        fuse_followers(layer, kind.followers)
    activation = fused_activation(kind.followers.values())
    reason = "" if activation else "no activation within it that it could take over"
    return FusedCall(path, name, True, reason, Fused(activation) if activation else None)
