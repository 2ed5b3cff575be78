"""Batch normalization of a tensor."""

from torch import Tensor

from normwise import kernels
from normwise.kernels import Call


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
    call = Call(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        training=training,
        momentum=momentum,
        eps=eps,
        activation=activation,
        residual=residual,
        mask=mask,
        inplace=inplace,
    )
    call.check()
    return kernels.batch_norm(call)
