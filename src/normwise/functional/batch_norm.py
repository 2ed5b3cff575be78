"""Batch normalization of a tensor: the checks that give clear errors, then the kernels."""

import torch
from torch import Tensor

from normwise import kernels
from normwise.errors import ArgumentError, MaskError, ShapeError


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
    *,
    activation: str | None = None,
    residual: Tensor | None = None,
    mask: Tensor | None = None,
    inplace: bool = False,
) -> Tensor:
    r"""Normalise each channel, scale, shift, add a residual, activate.

    .. math::

        y = a\left(\gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta + r\right)

    In training :math:`\mu` and :math:`\sigma^2` are the batch's, over all axes but the channels'; the
    variance that normalises is the biased one. Else they are ``running_mean`` and ``running_var``.

    Shape:
        ``x``, ``residual`` and the output: ``(N, C, *)``. ``running_mean``, ``running_var``, ``weight``
        (γ) and ``bias`` (β): ``(C,)``. ``mask``: ``(N, *)``.

    Args:
        x: Input, of a floating type. float16 and bfloat16 accumulate in float32.
        running_mean, running_var: Updated in place in training, where they are given:
            ``running = (1 - momentum) * running + momentum * batch``, with Bessel's correction (count
            over count less one) for the variance. An empty batch leaves them as they are.
        momentum: Weight of the new batch, as in torch (Keras and others give the weight of the old); a
            0-dimensional tensor where it is computed.
        activation: None, or a name in :data:`normwise.functional.ACTIVATIONS`.
        residual: Added before the activation.
        mask: Boolean, True where a position is real. The others take no part in statistics, counts and
            gradients, whatever they hold, and their output is 0. Where a batch has fewer than two real
            positions there is no variance to keep: the running statistics stay as they are, and the
            normalised value of the one position is 0.
        inplace: The output may take the input's place in memory, and the backward pass is computed from it (Rota
            Bulò et al. 2018, section 3.1): one activation is kept instead of two. Only with an activation that can
            be undone (None, "leaky_relu"), without a residual, and once differentiable. What precedes must not
            need its own output for its gradient: a convolution or linear layer does not. Where the compiled
            kernels are not in use the input is left alone. In float32 gradients of the input and of β are exact to
            :math:`2^{-22} (1 + |\beta / \gamma|)` of the largest; that of γ is a sum, :math:`\sum g \hat{x}`, and
            exact to :math:`2^{-22} \sum |g| (|\hat{x}| + |\beta / \gamma|)`.

    Raises:
        ShapeError: a wrong number of axes or channels, a residual of another shape, or one value per
            channel in training without a mask.
        MaskError: the mask's type, shape or device.
        ArgumentError: an unknown activation, an input that is not of a floating type, an ``eps`` that is
            not positive, a residual on another device, no running statistics where they are needed, or
            ``inplace`` where the output can't tell the input: another activation, a residual, or a γ that is
            0 or less than a thousandth of β.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithms 1 and 2. Masked statistics:
        the same over the real positions.

    Example:
        >>> import torch, normwise
        >>> x = torch.tensor([[1.0], [3.0], [99.0]])
        >>> mask = torch.tensor([True, True, False])
        >>> normwise.functional.batch_norm(x, None, None, training=True, mask=mask).flatten()
        tensor([-1.0000,  1.0000,  0.0000])
    """
    if x.dim() < 2:
        raise ShapeError(f"expected an input of shape (N, C, *), got {tuple(x.shape)}; add the missing axes")
    check_sizes(x, running_mean, running_var, weight, bias)
    if not training and (running_mean is None or running_var is None):
        raise ArgumentError(
            "evaluation normalises with running_mean and running_var, and one of them is None; pass both, "
            "or training=True to use the batch's own statistics"
        )
    check_call(x, weight, bias, training, eps, activation, residual, mask, inplace)
    return kernels.batch_norm(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        training,
        momentum,
        eps,
        activation,
        residual,
        mask,
        None,
        inplace,
    )


def check_sizes(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> None:
    """Raise ShapeError unless statistics and parameters have one value for each channel of ``x``."""
    channels = (x.shape[1],)
    if (
        (weight is None or weight.shape == channels)
        and (bias is None or bias.shape == channels)
        and (running_mean is None or running_mean.shape == channels)
        and (running_var is None or running_var.shape == channels)
    ):
        return
    for name, tensor in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if tensor is not None and tensor.shape != channels:
            raise ShapeError(
                f"the input has {x.shape[1]} channels (axis 1 of its shape {tuple(x.shape)}), but {name} "
                f"has the shape {tuple(tensor.shape)}; expected ({x.shape[1]},). If the channels are on "
                "another axis, move them to axis 1; if channels were removed or added, do so in all parameters and "
                "statistics"
            )


def check_activation(activation: object) -> None:
    """Raise ArgumentError unless ``activation`` is None or the name of one that a layer can fuse."""
    if activation is not None and not (isinstance(activation, str) and activation in kernels.ACTIVATIONS):
        raise ArgumentError(
            f"unknown activation {activation!r}; known are None, "
            + ", ".join(repr(name) for name in kernels.ACTIVATIONS)
            + ". Put any other one behind the layer as a module of its own"
        )


def check_call(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    eps: float,
    activation: str | None,
    residual: Tensor | None,
    mask: Tensor | None,
    inplace: bool,
) -> None:
    """Raise the error of whatever is wrong with a call of which the number of axes and channels is right."""
    # Not only when a layer is built: the attribute can be set later.
    if activation is not None:
        check_activation(activation)
    if not x.is_floating_point():
        raise ArgumentError(f"expected an input of a floating type, got {x.dtype}; convert it with .float()")
    # A mask may leave one real position or none in any batch, which is no error: nor is a shape of one.
    if training and mask is None and x.numel() == x.shape[1] and x.shape[1] > 0:
        raise ShapeError(
            f"expected more than 1 value per channel when training, got an input of shape {tuple(x.shape)}: "
            "one value is its own mean and has no variance. Use a larger batch, drop an incomplete last one "
            "(DataLoader(..., drop_last=True)), or normalise with running statistics: .eval(), on a layer that keeps "
            "them (track_running_stats=True)"
        )
    if eps <= 0 and (training or eps < 0):
        raise ArgumentError(
            f"eps must be positive (in evaluation it may be 0), got {eps}: a channel that is constant in a "
            "batch would be divided by 0"
        )
    if residual is not None:
        _check_residual(residual, x)
    if mask is not None:
        _check_mask(mask, x)
    if inplace:
        _check_inplace(weight, bias, activation, residual)


def _check_residual(residual: Tensor, x: Tensor) -> None:
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


#: Activations that an output tells the input of.
_INVERTIBLE = (None, "leaky_relu")
#: How many times β may be γ: so much of a deviation's precision is lost when it is told from the output.
_WORST_RATIO = 1000.0


def _check_inplace(
    weight: Tensor | None, bias: Tensor | None, activation: str | None, residual: Tensor | None
) -> None:
    if activation not in _INVERTIBLE or residual is not None:
        what = "a residual" if residual is not None else f"the activation {activation!r}"
        raise ArgumentError(
            f"inplace=True can't be used with {what}: its output does not tell its input. Use inplace=False, or "
            'the activation None or "leaky_relu" without a residual'
        )
    # In a compiled graph nothing is overwritten, and values can't be asked for.
    if weight is None or torch.compiler.is_compiling():
        return
    kernels.check_memory(weight, bias)
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


def _check_mask(mask: Tensor, x: Tensor) -> None:
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
