"""A BN layer of another library, with the activation within it, computed by our kernels."""

from normwise.layers import LayerKind, input_of_call
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


def compute_foreign(path: str, kind: LayerKind, call: Arguments | None) -> FusedCall:
    """Let our kernels compute a layer, in place, if it is one for images; its class stays, behind one of ours.

    Args:
        path: Path of the layer in the model.
        kind: A BN layer of another library.
        call: Arguments of its call on the example; None where that does not reach it.

    Returns:
        The decision, whose activation is the one that is computed with the normalization.
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
