"""Batch normalization for Keras 3, on all of its backends."""

import math
from typing import Any

import keras

from normwise.keras.arguments import check_arguments, check_residual, checked_channels
from normwise.keras.call import Call
from normwise.keras.masks import broadcast_mask
from normwise.keras.moments import BatchMoments, Tensor, moments_type, of_type
from normwise.keras.renorm import Schedule, correction, limits_of
from normwise.keras.untyped import ops
from normwise.keras.weights import add_weights, move_statistics
from normwise.keras.with_ops import batch_normalization as with_ops


@keras.saving.register_keras_serializable(package="normwise")
class BatchNormalization(keras.layers.BatchNormalization):
    r"""Normalise each channel by the statistics of its batch: ``keras.layers.BatchNormalization``, and what that lacks.

    .. math::

        y = a\left(\gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta + r\right)

    In training :math:`\mu` and :math:`\sigma^2` are mean and biased variance of the batch over all axes but ``axis``,
    and the moving statistics become ``momentum * moving + (1 - momentum) * batch``; else they are the moving ones.
    ``trainable = False`` means inference, as in Keras. Names, order and shapes of the weights are Keras's (gamma, beta,
    moving_mean, moving_variance, and with ``renorm`` moving_stddev, renorm_mean, renorm_stddev), so that weights load
    both ways; ``momentum=None`` and a schedule of ``renorm``, which is the default there, add one, ``batches``, behind
    them: a file of Keras's layer loads all the same, ``set_weights`` takes the other limits of ``renorm_clipping``.

    It differs where Keras's layer is wrong or refuses: the variance keeps its digits at any mean, masks fit any axis, a
    batch without a real position moves nothing, one channel may have a mask, and ``renorm`` is clipped unless it is
    asked not to be. On the torch backend it computes with normwise's kernels.

    Shape:
        ``inputs``, ``residual`` and the output: any, with two axes or more. ``mask``: the shape of the inputs, or that
        without ``axis``, or a leading part of either; any axis may have the size 1.

    Args:
        axis: The axis of the channels, an integer.
        momentum: Weight of what was, between 0 and 1 (torch's ``momentum`` is that of the new batch); None for the
            plain average over all batches so far.
        epsilon: Added to the variance; Keras's default is 1e-3, torch's 1e-5.
        center, scale: Whether there are β and γ.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: Initial values.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: Of β and γ.
        renorm: Whether training is batch renormalization (Ioffe 2017).
        renorm_clipping: Limits of r and d: None for the paper's schedule, a dictionary with Keras's keys ``rmax``,
            ``rmin`` and ``dmax`` for limits that stay (a missing one is no limit), and with ``warmup_steps``,
            ``rmax_steps`` or ``dmax_steps`` among them for a schedule of your own.
        renorm_momentum: Weight of what was in the statistics that r and d compare with.
        synchronized: Whether statistics are those of all replicas, merged by their counts: of a ``tf.distribute``
            strategy on TensorFlow; of the processes of ``torch.distributed`` on torch; on JAX of the devices of all
            axes that ``jax.shard_map`` or ``jax.pmap`` maps (``keras.distribution`` makes statistics those of the
            whole batch in any case).
        activation: None, or an activation of Keras, applied last.
        virtual_batch_size: Samples at most whose statistics normalise together (ghost batch normalization, Hoffer et
            al. 2017); parts of a batch are as equal as can be. The moving statistics are moved by the whole batch. None
            for the whole batch.
        unbiased_moving_variance: Whether the moving variance gets Bessel's correction, count over count less one, as in
            torch.
        frozen_statistics: Whether the moving statistics normalise, and stay, in training too, while γ and β learn;
            ``trainable=False`` fixes those as well. :func:`normwise.keras.freeze` sets it.
        kwargs: Those of ``keras.layers.Layer``.

    Call arguments:
        inputs: Input.
        training: Whether the statistics of the batch normalise.
        mask: Boolean, True where a position is real. The others have no part in the statistics; their output is
            computed as that of all others, as in Keras, with 0 for what is infinite or not a number.
        residual: Added before the activation, of the shape of the inputs.

    Raises:
        ValueError: an argument that does not exist or contradicts another; a mask or residual of another shape.

    References:
        Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithms 1 and 2. Ioffe 2017,
        https://arxiv.org/abs/1702.03275, algorithm 1 and section 4.2. Hoffer, Hubara & Soudry 2017,
        https://arxiv.org/abs/1705.08741, algorithm 1.

    Example:
        >>> import numpy as np
        >>> from normwise.keras import BatchNormalization
        >>> layer = BatchNormalization(momentum=0.0)
        >>> x, mask = np.array([[[1.0], [3.0], [99.0]]]), np.array([[True, True, False]])
        >>> y = layer(x, training=True, mask=mask)
        >>> [float(weight[0]) for weight in layer.get_weights()]  # gamma, beta, moving mean and variance
        [1.0, 0.0, 2.0, 1.0]
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float | None = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, Any] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        *,
        activation: Any = None,
        virtual_batch_size: int | None = None,
        unbiased_moving_variance: bool = False,
        frozen_statistics: bool = False,
        **kwargs: Any,
    ) -> None:
        check_arguments(axis, momentum, epsilon, renorm, renorm_momentum, synchronized, virtual_batch_size)
        super().__init__(
            axis=axis,
            momentum=0.99 if momentum is None else momentum,
            epsilon=epsilon,
            center=center,
            scale=scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        self.momentum = None if momentum is None else float(momentum)
        self.renorm = renorm
        self.renorm_clipping = renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized
        self.activation = None if activation is None else keras.activations.get(activation)
        self.virtual_batch_size = virtual_batch_size
        self.unbiased_moving_variance = unbiased_moving_variance
        self.frozen_statistics = frozen_statistics
        self._limits = limits_of(renorm_clipping if renorm else {})
        self.batches: Any = None

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of a shape."""
        rank = len(input_shape)
        channels = checked_channels(input_shape, self.axis, self.virtual_batch_size, self.name)
        add_weights(self, channels, counting=self.momentum is None or isinstance(self._limits, Schedule))
        self.input_spec = keras.InputSpec(ndim=rank, axes={self.axis: channels})
        self._reduction_axes = [axis for axis in range(rank) if axis != self.axis % rank]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, residual: Any = None) -> Any:
        """Return the normalised inputs; in training move the statistics."""
        axis = self.axis % len(inputs.shape)
        moving = not (training and self.trainable) or self.frozen_statistics
        kind = moments_type(inputs)
        if residual is not None:
            check_residual(residual.shape, inputs.shape, self.name)
        if mask is not None:
            mask = broadcast_mask(mask, inputs.shape, axis, self.name)
        if moving:
            mask = None
        elif mask is not None:
            # Nothing times infinity is no number, so that padding with one would reach the gradients.
            inputs = ops.where(ops.logical_or(mask, ops.isfinite(inputs)), inputs, ops.zeros_like(inputs))
        call = Call(
            inputs,
            axis,
            self.epsilon,
            self.name,
            None if self.gamma is None else of_type(self.gamma, kind),
            None if self.beta is None else of_type(self.beta, kind),
            statistics=(of_type(self.moving_mean, kind), of_type(self.moving_variance, kind))
            if moving
            else None,
            mask=mask,
            residual=residual,
            activation=self.activation,
            virtual_batch_size=None if moving else self.virtual_batch_size,
            synchronized=self.synchronized and not moving,
            correct=self._corrected if self.renorm and not moving else None,
        )
        outputs, found = _computed(call)
        if found is not None:
            move_statistics(self, found)
        return of_type(outputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return all arguments, as ``from_config`` takes them."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
            "synchronized": self.synchronized,
            "activation": None if self.activation is None else keras.activations.serialize(self.activation),
            "virtual_batch_size": self.virtual_batch_size,
            "unbiased_moving_variance": self.unbiased_moving_variance,
            "frozen_statistics": self.frozen_statistics,
        }

    def load_own_variables(self, store: Any) -> None:
        """Load the weights of a file; one of Keras's layer, which has no ``batches``, begins to count at 0."""
        keys, last = store.keys(), len(self.weights) - 1
        if self.batches is not None and len(keys) == last:
            store = {**{key: store[key] for key in keys}, str(last): 0}
        super().load_own_variables(store)

    def _corrected(self, found: BatchMoments, gamma: Any, beta: Any) -> tuple[Tensor, Tensor]:
        """Return γ r and γ d + β, with which batch normalization is batch renormalization."""
        kind = found.mean.dtype
        least = math.sqrt(self.epsilon)
        r, d = correction(
            found.mean,
            ops.sqrt(found.variance + self.epsilon),
            ops.cast(self.renorm_mean, kind),
            # An average that has hardly begun may be near to 0.
            ops.clip(ops.cast(self.renorm_stddev, kind), least, math.inf),
            self._limits,
            None if self.batches is None else ops.cast(self.batches, kind),
        )
        scale, shift = (r, d) if gamma is None else (r * gamma, d * gamma)
        return scale, shift if beta is None else shift + beta


def _computed(call: Call) -> tuple[Any, BatchMoments | None]:
    if keras.backend.backend() == "torch":
        from normwise.keras import on_torch

        if on_torch.covers(call):
            return on_torch.batch_normalization(call)
    return with_ops(call)
