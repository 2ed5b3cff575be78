"""``torch.nn.BatchNorm1d/2d/3d`` with a fused activation and residual, masks, and errors that say where."""

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
    """What the three layers share; subclasses say which shapes they take."""

    # For torch.jit.script, which looks for attributes in instances; those of a class it takes from here.
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
        # torch's own constructor takes `bias` from 2.13 on.
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        if not bias:
            self.register_parameter("bias", None)
        self.activation = activation
        self.inplace = inplace

    def reset_parameters(self) -> None:
        """Set the statistics, γ and β to what they are in a new layer."""
        self.reset_running_stats()
        if self.affine:
            nn.init.ones_(self.weight)
            # Without β torch before 2.13 fails here.
            if self.bias is not None:
                nn.init.zeros_(self.bias)

    @classmethod
    def from_batch_norm(cls, layer: nn.modules.batchnorm._BatchNorm, **settings: Any) -> "_BatchNorm":
        """A layer of this class with the arguments of another, over the same parameters and statistics."""
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
        """Do what ``forward`` does, with the given activation in place of the layer's own."""
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
            # A model may still have the buffers when tracking was switched off: training leaves them be.
            mean = var = counter = None
        elif is_recomputed() and mean is not None and var is not None:
            # Activation checkpointing computes a forward pass anew within the backward one, which moves nothing. It
            # moves copies, since autograd is to keep as many tensors as the first time.
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
        """Check and compute a call: families of layers that normalise otherwise in training differ here."""
        call.check()
        return kernels.batch_norm(call)

    def _own_tensors(self) -> tuple[Tensor | None, ...]:
        """Return weight, bias, running mean and variance, and the number of batches.

        They are read past ``Module.__getattr__``, which takes longer than all checks together. A parameter with a
        parametrization, though, is an attribute.
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
        """The arguments, for ``repr``."""
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
        eps: Added to the variance.
        momentum: Weight of the new batch in the running statistics; None for their plain average over
            all batches. (Keras and others give the weight of the old ones: their 0.99 is 0.01 here.)
        affine: Whether to learn γ (``weight``) and β (``bias``).
        track_running_stats: Whether to keep running statistics for evaluation; without them evaluation
            uses the batch's, too.
        bias: With ``affine``, whether to learn β.
        activation: Applied last; None or one of :data:`normwise.functional.ACTIVATIONS`.
        inplace: The output may take the input's place, which halves what is kept for the backward pass; see
            :func:`normwise.functional.batch_norm` for what it asks for. Needs the activation None or "leaky_relu".

    The batch is normalised with its biased variance; the running variance has Bessel's correction. With
    ``mask`` (boolean, True = real) only real positions take part in statistics, counts and gradients,
    and the output is 0 elsewhere; a batch with fewer than two real positions moves no running statistic.
    ``state_dict`` is torch's, both ways.

    Functions of torch that make another layer of this one's attributes (``SyncBatchNorm.convert_sync_batchnorm``,
    ``fuse_conv_bn_eval``, ``fuse_linear_bn_eval``) would drop ``activation``, and get an error instead;
    ``fuse_conv_bn_weights`` takes tensors alone, and can't be kept from it. ``torch.fx`` takes the layer for a leaf,
    and ``torch.jit.script`` compiles it.

    Raises:
        ShapeError: wrong axes or channels, or one value per channel in training. Names the layer.
        MaskError: a mask that is not boolean, or of another shape or device.
        ArgumentError: an unknown activation, or an input that is not of a floating type.

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

    All else is :class:`BatchNorm1d`'s.

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

    All else is :class:`BatchNorm1d`'s.
    """

    traits: ClassVar[NormTraits] = NormTraits("batch", (3,), "batch", fuses=True)
    _shapes: ClassVar[dict[int, str]] = {5: "(N, C, D, H, W)"}
