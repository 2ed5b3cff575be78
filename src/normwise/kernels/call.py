"""One call of batch normalization: its tensors and settings, and their checks."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from normwise import activations
from normwise.errors import ArgumentError, MaskError, ShapeError
from normwise.kernels.memory import check_memory

#: Largest ratio of β to γ: the precision that is lost when a deviation is computed from the output.
_WORST_RATIO = 1000.0


@dataclass(slots=True, eq=False)
class Call:
    r"""One call of :math:`y = a(\gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta + r)`.

    Attributes:
        x: Input ``(N, C, *)``.
        running_mean, running_var: Running statistics ``(C,)``, which normalise in evaluation and are updated in
            training; None if none are kept.
        weight, bias: γ and β, ``(C,)``; None for 1 and 0.
        training: Whether batch statistics normalise.
        momentum: Weight of the new batch in the running statistics; None for their plain average over the batches
            that ``counter`` counts, or for no update without a counter.
        eps: Number that is added to the variance, ε.
        activation: Activation, a name in :data:`normwise.activations.ACTIVATIONS`, or None.
        residual: Tensor of the shape of ``x`` that is added before the activation.
        mask: Boolean mask ``(N, *)``, True where a position is real.
        counter: Number of batches so far, one int64, which training increments.
        inplace: Whether the output may overwrite the input.
        parts: Number of parts of the batch, each normalised by its own statistics in training; see
            :mod:`normwise.kernels.virtual_batches`. Only code called from that module supports them.
        layout: Layout of the input, private to the backend that covers the call.
    """

    x: Tensor
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float | Tensor | None = 0.1
    eps: float = 1e-5
    activation: str | None = None
    residual: Tensor | None = None
    mask: Tensor | None = None
    counter: Tensor | None = None
    inplace: bool = False
    parts: int = 1
    layout: Any = None

    def check(self, *, alone: bool = True) -> None:
        """Check the call before anything is computed.

        Args:
            alone: Whether the batch is normalised only by its own statistics, so that it needs more than one value.

        Raises:
            ShapeError: there are too few axes, sizes do not fit, or there is one value per channel in training.
            MaskError: the mask has a wrong dtype, shape or device.
            ArgumentError: any other argument is wrong.
        """
        x = self.x
        shape = x.shape
        if len(shape) < 2:
            raise ShapeError(
                f"expected an input of shape (N, C, *), got {tuple(shape)}; add the missing axes"
            )
        channels = (shape[1],)
        weight, bias, mean, var = self.weight, self.bias, self.running_mean, self.running_var
        if not (
            (weight is None or weight.shape == channels)
            and (bias is None or bias.shape == channels)
            and (mean is None or mean.shape == channels)
            and (var is None or var.shape == channels)
        ):
            check_sizes(x, running_mean=mean, running_var=var, weight=weight, bias=bias)
        training = self.training
        if not training and (mean is None or var is None):
            raise ArgumentError(
                "evaluation normalises with running_mean and running_var, and one of them is None; pass both, "
                "or training=True to use the batch's own statistics"
            )
        # Also checked here, not only when a layer is built: the attribute can be set later.
        if self.activation is not None:
            check_activation(self.activation)
        if not x.is_floating_point():
            raise ArgumentError(
                f"expected an input of a floating type, got {x.dtype}; convert it with .float()"
            )
        # A mask may leave one real position or none in any batch, which is not an error; so a shape of one
        # isn't, either.
        if training and alone and self.mask is None and x.numel() == shape[1] and shape[1] > 0:
            raise one_value(x)
        if self.eps <= 0 and (training or self.eps < 0):
            raise ArgumentError(
                f"eps must be positive (in evaluation it may be 0), got {self.eps}: a channel that is constant in a "
                "batch would be divided by 0"
            )
        if self.residual is not None:
            check_residual(self.residual, x)
        if self.mask is not None:
            check_mask(self.mask, x)
        if self.inplace:
            self._check_inplace()

    def _check_inplace(self) -> None:
        activation, weight, bias = self.activation, self.weight, self.bias
        undone = activation is None or activations.ACTIVATIONS[activation].invertible
        if not undone or self.residual is not None:
            what = "a residual" if self.residual is not None else f"the activation {activation!r}"
            allowed = " or ".join(
                f'"{row.name}"' for row in activations.ACTIVATIONS.values() if row.invertible
            )
            raise ArgumentError(
                f"inplace=True can't be used with {what}: its output does not tell its input. Use inplace=False, or "
                f"the activation None or {allowed} without a residual"
            )
        # In a compiled graph nothing is overwritten, and values can't be read. Reading them from a GPU would
        # wait for it: there the gradients of a channel with such a γ are NaN.
        if weight is None or torch.compiler.is_compiling() or weight.is_cuda:
            return
        check_memory(weight, bias)
        scale = weight.detach().abs()
        least = torch.zeros_like(scale) if bias is None else bias.detach().abs() / _WORST_RATIO
        wrong = (scale < least) | (scale < torch.finfo(torch.float32).tiny)
        if wrong.any():
            channel = int(wrong.nonzero()[0])
            gamma = weight.detach()[channel].item()
            beta = 0.0 if bias is None else bias.detach()[channel].item()
            raise ArgumentError(
                f"inplace=True needs a γ that can be divided by: that of channel {channel} is {gamma:g}, "
                f"with a β of {beta:g}; expected at least |β| / {_WORST_RATIO:g}, and not 0. Use inplace=False"
            )


# Function modes that inspect or replace tensors in arguments find those of a call.
pytree.register_pytree_node(
    Call,
    lambda call: ([getattr(call, name) for name in Call.__slots__], None),
    lambda values, _: Call(*values),
)


def one_value(x: Tensor) -> ShapeError:
    """Return the error for a batch with one value per channel."""
    return ShapeError(
        f"expected more than 1 value per channel when training, got an input of shape {tuple(x.shape)}: "
        "one value is its own mean and has no variance. Use a larger batch, drop an incomplete last one "
        "(DataLoader(..., drop_last=True)), or normalise with running statistics: .eval(), on a layer that "
        "keeps them (track_running_stats=True)"
    )


def check_axes(x: Tensor) -> None:
    """Raise ShapeError unless ``x`` has axes of the batch and of channels."""
    if x.dim() < 2:
        raise ShapeError(f"expected an input of shape (N, C, *), got {tuple(x.shape)}; add the missing axes")


def check_floating(x: Tensor) -> None:
    """Raise ArgumentError unless ``x`` has a floating-point dtype."""
    if not x.is_floating_point():
        raise ArgumentError(f"expected an input of a floating type, got {x.dtype}; convert it with .float()")


def check_sizes(x: Tensor, **vectors: Tensor | None) -> None:
    """Raise ShapeError unless each of the named vectors has one value for each channel of ``x``."""
    channels = x.shape[1]
    for name, vector in vectors.items():
        if vector is not None and vector.shape != (channels,):
            raise ShapeError(
                f"the input has {channels} channels (axis 1 of its shape {tuple(x.shape)}), but {name} "
                f"has the shape {tuple(vector.shape)}; expected ({channels},). If the channels are on "
                "another axis, move them to axis 1; if channels were removed or added, do so in all parameters and "
                "statistics"
            )


def check_activation(activation: object) -> None:
    """Raise ArgumentError unless ``activation`` is None or the name of one that a layer can fuse."""
    known = activations.ACTIVATIONS
    if activation is not None and not (isinstance(activation, str) and activation in known):
        raise ArgumentError(
            f"unknown activation {activation!r}; known are None, "
            + ", ".join(repr(name) for name in known)
            + ". Put any other one behind the layer as a module of its own"
        )


def check_residual(residual: Tensor, x: Tensor) -> None:
    """Raise an error unless the residual is a tensor with the shape and device of ``x``."""
    if not isinstance(residual, Tensor):
        raise ArgumentError(
            f"expected a tensor as residual, got {type(residual).__name__}; convert it with torch.as_tensor(residual)"
        )
    if residual.shape != x.shape:
        raise ShapeError(
            f"the residual has the shape {tuple(residual.shape)}, expected the input's, {tuple(x.shape)}; "
            "project it (a 1×1 convolution in a ResNet) before it is added"
        )
    if residual.device != x.device:
        raise ArgumentError(
            f"the residual is on {residual.device}, the input on {x.device}; "
            "move it with residual.to(x.device)"
        )


def check_mask(mask: Tensor, x: Tensor) -> None:
    """Raise MaskError unless the mask is boolean, on the device of ``x``, with its shape without the channels."""
    expected = (x.shape[0], *x.shape[2:])
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise MaskError(
            f"expected a boolean tensor as mask, True where a position is real, got {got}; "
            "convert it with torch.as_tensor(mask).bool()"
        )
    if mask.shape != expected:
        raise MaskError(
            f"expected a mask of shape {expected}, the input's {tuple(x.shape)} without the channel axis, "
            f"got {tuple(mask.shape)}"
        )
    if mask.device != x.device:
        raise MaskError(
            f"the mask is on {mask.device}, the input on {x.device}; move it with mask.to(x.device)"
        )
