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

    In training :math:`\mu` and :math:`\sigma^2` are the mean and the biased variance of the batch, over all axes
    except the channels. Otherwise they are ``running_mean`` and ``running_var``.

    Shape:
        ``x``, ``residual`` and the output: ``(N, C, *)``. ``running_mean``, ``running_var``, ``weight``
        (γ) and ``bias`` (β): ``(C,)``. ``mask``: ``(N, *)``.

    Args:
        x: Input, of a floating-point dtype. float16 and bfloat16 accumulate in float32.
        running_mean, running_var: Running statistics, updated in place in training if given:
            ``running = (1 - momentum) * running + momentum * batch``, with Bessel's correction (count
            over count less one) for the variance. An empty batch leaves them unchanged.
        momentum: Weight of the new batch, as in torch (Keras and others give the weight of the old average); a
            float, or a 0-dimensional tensor.
        activation: Activation, a name in :data:`normwise.functional.ACTIVATIONS`, or None.
        residual: Tensor that is added before the activation.
        mask: Boolean mask, True where a position is real. Other positions take no part in statistics, counts and
            gradients, whatever they hold, and their output is 0. A batch with fewer than two real positions has no
            variance: the running statistics stay unchanged, and the normalised value of a single position is 0.
        inplace: Whether the output may overwrite the input, with a backward pass computed from the output (Rota
            Bulò et al. 2018, section 3.1): autograd keeps one activation instead of two. It needs an invertible
            activation (None, "leaky_relu") and no residual, and is only once differentiable. The preceding
            operation must not need its own output for its gradient; a convolution or linear layer does not. Without
            the compiled kernels the input is not overwritten. In float32 the gradients of the input and of β are
            exact to :math:`2^{-22} (1 + |\beta / \gamma|)` of the largest value; the gradient of γ is a sum,
            :math:`\sum g \hat{x}`, and exact to :math:`2^{-22} \sum |g| (|\hat{x}| + |\beta / \gamma|)`.

    Raises:
        ShapeError: the input has a wrong number of axes or channels, or one value per channel in training without a
            mask; or the residual has another shape.
        MaskError: the mask has a wrong dtype, shape or device.
        ArgumentError: the activation is unknown, the input's dtype is not floating-point, ``eps`` is not positive,
            the residual is on another device, running statistics are missing, or ``inplace`` is impossible since
            the input can't be recovered from the output: another activation, a residual, or a γ that is 0 or less
            than a thousandth of β.

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
