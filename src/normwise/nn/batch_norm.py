"""``torch.nn.BatchNorm1d/2d/3d`` with a fused activation and residual, masks, and errors that name the layer."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from normwise import kernels
from normwise.errors import NormwiseError, ShapeError
from normwise.kernels import Call
from normwise.kernels.call import check_activation
from normwise.nn.convertible import from_batch_norm
from normwise.nn.layer_path import named_error
from normwise.nn.norm_traits import NormTraits
from normwise.nn.tools.dropped_activation import KeepsActivation
from normwise.nn.tools.recomputation import is_recomputed
from normwise.nn.tools.scripted import compiled_as, scripted_forward
from normwise.nn.tools.traced_leaf import is_traced, leaf_call


class _BatchNorm(KeepsActivation, nn.modules.batchnorm._BatchNorm):
    """Base of the three layers; subclasses define the shapes that they accept."""

    # For torch.jit.script, which looks for attributes in instances; it finds class attributes here.
    __constants__: ClassVar[list[str]] = [*nn.modules.batchnorm._BatchNorm.__constants__, "activation"]
    traits: ClassVar[NormTraits]
    _shapes: ClassVar[dict[int, str]]
    activation: str | None = None
    inplace: bool = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
        activation: str | None = None,
        inplace: bool = False,
    ) -> None:
        check_activation(activation)
        # torch's own constructor accepts `bias` since 2.13.
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        if not bias:
            self.register_parameter("bias", None)
        self.activation = activation
        self.inplace = inplace

    def reset_parameters(self) -> None:
        """Reset the statistics, γ and β to those of a new layer."""
        self.reset_running_stats()
        if self.affine:
            nn.init.ones_(self.weight)
            # Without β torch before 2.13 fails here.
            if self.bias is not None:
                nn.init.zeros_(self.bias)

    @classmethod
    def from_batch_norm(cls, layer: nn.modules.batchnorm._BatchNorm, **settings: Any) -> "_BatchNorm":
        """Return a layer of this class with the arguments of another, sharing its parameters and statistics."""
        return from_batch_norm(cls, layer, **settings)

    @compiled_as(scripted_forward)
    def forward(self, input: Tensor, *, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Normalise ``input``; see the class for the equation, shapes and errors."""
        if type(input) is not Tensor and is_traced(input):
            return leaf_call(self, input, residual=residual, mask=mask)
        try:
            return self._normalise(input, residual, mask, self.activation)
        except NormwiseError as error:
            if torch.compiler.is_compiling():
                raise
            raise named_error(self, error) from None

    def normalise_and_add(self, input: Tensor, residual: Tensor | None, activation: str | None) -> Tensor:
        """Do the same as ``forward``, with the given activation instead of the layer's own."""
        try:
            return self._normalise(input, residual, None, activation)
        except NormwiseError as error:
            if torch.compiler.is_compiling():
                raise
            raise named_error(self, error) from None

    def _normalise(
        self, input: Tensor, residual: Tensor | None, mask: Tensor | None, activation: str | None
    ) -> Tensor:
        shape = input.shape
        if len(shape) not in self._shapes or shape[1] != self.num_features:
            self._check_input_dim(input)
        weight, bias, mean, var, counter = self._own_tensors()
        training = self.training
        if not training:
            counter = None
        elif not self.track_running_stats:
            # A model may still have the buffers after tracking was switched off: training leaves them
            # unchanged.
            mean = var = counter = None
        elif is_recomputed() and mean is not None and var is not None:
            # Activation checkpointing repeats the forward pass during the backward pass; the repetition must
            # not update the statistics. It updates copies, since autograd must save as many tensors as the
            # first time.
            mean, var, counter = mean.clone(), var.clone(), None
        return self._compute(
            Call(
                input,
                mean,
                var,
                weight,
                bias,
                training=training or (mean is None and var is None),
                momentum=self.momentum,
                eps=self.eps,
                activation=activation,
                residual=residual,
                mask=mask,
                counter=counter,
                inplace=self.inplace,
            )
        )

    def _compute(self, call: Call) -> Tensor:
        """Check and compute a call; families that normalise differently in training override this."""
        call.check()
        return kernels.batch_norm(call)

    def _own_tensors(self) -> tuple[Tensor | None, ...]:
        """Return weight, bias, running mean and variance, and the number of batches.

        They are read without ``Module.__getattr__``, which takes longer than all checks together. A parameter with
        a parametrization is an attribute, however.
        """
        parameters, buffers = self._parameters, self._buffers
        counter = buffers.get("num_batches_tracked")
        try:
            return (
                parameters["weight"],
                parameters["bias"],
                buffers["running_mean"],
                buffers["running_var"],
                counter,
            )
        except KeyError:
            return self.weight, self.bias, self.running_mean, self.running_var, counter

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in self._shapes:
            expected = " or ".join(self._shapes.values())
            raise ShapeError(f"expected an input of shape {expected}, got {tuple(input.shape)}")
        if input.shape[1] != self.num_features:
            raise ShapeError(
                f"expected {self.num_features} channels, got {input.shape[1]} (axis 1 of the input's shape "
                f"{tuple(input.shape)}). Build the layer with num_features={input.shape[1]}, or move the "
                "channels to axis 1"
            )

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        activation = "" if self.activation is None else f", activation={self.activation!r}"
        return super().extra_repr() + activation + (", inplace=True" if self.inplace else "")


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    r"""Batch normalization of ``(N, C)`` or ``(N, C, L)``: ``torch.nn.BatchNorm1d``, and more.

    .. math::

        y = a\left(\gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta + r\right)

    Shape:
        ``input``, ``residual`` and the output ``(N, C)`` or ``(N, C, L)``; ``mask`` ``(N,)`` or ``(N, L)``.

    Args:
        num_features: Number of channels, C.
        eps: Number that is added to the variance, ε.
        momentum: Weight of the new batch in the running statistics; None for their plain average over
            all batches. (Keras and others give the weight of the old ones: their 0.99 is 0.01 here.)
        affine: Whether the layer learns γ (``weight``) and β (``bias``).
        track_running_stats: Whether the layer keeps running statistics for evaluation; without them evaluation also
            uses the batch's.
        bias: Whether the layer learns β, with ``affine``.
        activation: Activation that is applied last; None or one of :data:`normwise.functional.ACTIVATIONS`.
        inplace: Whether the output may overwrite the input, which halves the memory kept for the backward pass; see
            :func:`normwise.functional.batch_norm` for the conditions. Needs the activation None or "leaky_relu".

    The batch is normalised with its biased variance; the running variance has Bessel's correction. With ``mask``
    (boolean, True = real) only real positions take part in statistics, counts and gradients, and the output is 0
    elsewhere; a batch with fewer than two real positions does not update the running statistics. ``state_dict`` is
    compatible with torch's, in both directions.

    Functions of torch that make another layer from this one's attributes (``SyncBatchNorm.convert_sync_batchnorm``,
    ``fuse_conv_bn_eval``, ``fuse_linear_bn_eval``) would drop ``activation``, so they get an error.
    ``fuse_conv_bn_weights`` takes only tensors, so it can't be stopped. ``torch.fx`` treats the layer as a leaf,
    and ``torch.jit.script`` compiles it.

    Raises:
        ShapeError: the input has wrong axes or channels, or one value per channel in training; the error names the
            layer.
        MaskError: the mask is not boolean, or has another shape or device.
        ArgumentError: the activation is unknown, or the input's dtype is not floating-point.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, section 3.

    Example:
        >>> import torch, normwise
        >>> layer = normwise.nn.BatchNorm1d(40, activation="relu")
        >>> frames, real = torch.randn(8, 40, 100), torch.arange(100) < torch.tensor([[60]] * 8)
        >>> layer(frames, mask=real).shape
        torch.Size([8, 40, 100])
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (1,), "batch", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """Batch normalization of images ``(N, C, H, W)``; ``mask`` is ``(N, H, W)``.

    Arguments, behaviour and errors are otherwise those of :class:`BatchNorm1d`.

    Example:
        >>> import torch, normwise
        >>> x = torch.randn(8, 16, 5, 5)
        >>> normwise.nn.BatchNorm2d(16, activation="relu")(x, residual=x).shape
        torch.Size([8, 16, 5, 5])
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (2,), "batch", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    """Batch normalization of volumes ``(N, C, D, H, W)``; ``mask`` is ``(N, D, H, W)``.

    Arguments, behaviour and errors are otherwise those of :class:`BatchNorm1d`.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (3,), "batch", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
