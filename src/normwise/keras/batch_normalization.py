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
    r"""Batch normalization: ``keras.layers.BatchNormalization`` with further arguments and fixes.

    .. math::

        y = a\left(\gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta + r\right)

    In training :math:`\mu` and :math:`\sigma^2` are the mean and the biased variance of the batch over all axes
    except ``axis``, and the moving statistics become ``momentum * moving + (1 - momentum) * batch``. In inference
    they are the moving statistics. ``trainable = False`` means inference, as in Keras. Names, order and shapes of
    the weights are Keras's (gamma, beta, moving_mean, moving_variance, and with ``renorm`` moving_stddev,
    renorm_mean, renorm_stddev), so weights load in both directions. With ``momentum=None``, or a schedule of
    ``renorm`` (its default), there is one more weight at the end, ``batches``. A file of Keras's layer still loads;
    for ``set_weights`` use fixed limits in ``renorm_clipping``.

    It differs from Keras's layer where that is wrong or raises an error: the variance keeps its digits at any mean,
    masks work with any axis, a batch without a real position updates nothing, a single channel may have a mask, and
    ``renorm`` is clipped by default. On the torch backend it computes with normwise's kernels.

    Shape:
        ``inputs``, ``residual`` and the output: any, with two axes or more. ``mask``: the shape of the inputs, or that
        without ``axis``, or a leading part of either; any axis may have the size 1.

    Args:
        axis: Axis of the channels, an integer.
        momentum: Weight of the old average, between 0 and 1 (torch's ``momentum`` is the weight of the new batch);
            None for the plain average over all batches so far.
        epsilon: Number that is added to the variance, ε; Keras's default is 1e-3, torch's 1e-5.
        center, scale: Whether the layer has β and γ.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: Initial values of
            the weights.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: Regularizers and constraints of β
            and γ.
        renorm: Whether training is batch renormalization (Ioffe 2017).
        renorm_clipping: Limits of r and d. None is the paper's schedule; a dictionary with Keras's keys ``rmax``,
            ``rmin`` and ``dmax`` gives fixed limits (a missing key means no limit); with ``warmup_steps``,
            ``rmax_steps`` or ``dmax_steps`` it gives your own schedule.
        renorm_momentum: Weight of the old average in the statistics that r and d compare with.
        synchronized: Whether statistics are those of all replicas, merged by their counts. Replicas are those of a
            ``tf.distribute`` strategy on TensorFlow, the processes of ``torch.distributed`` on torch, and on JAX
            the devices of all axes that ``jax.shard_map`` or ``jax.pmap`` maps (with ``keras.distribution``,
            statistics are always those of the whole batch).
        activation: Activation of Keras that is applied last, or None.
        virtual_batch_size: Most samples that are normalised together (ghost batch normalization, Hoffer et al.
            2017); the parts of a batch are as equal as possible. The whole batch updates the moving statistics.
            None for the whole batch.
        unbiased_moving_variance: Whether the moving variance gets Bessel's correction, count / (count - 1), as in
            torch.
        frozen_statistics: Whether the moving statistics are fixed and normalise also in training, while γ and β
            learn; ``trainable=False`` fixes those as well. :func:`normwise.keras.freeze` sets it.
        kwargs: Arguments of ``keras.layers.Layer``.

    Call arguments:
        inputs: Input to normalise.
        training: Whether the statistics of the batch normalise.
        mask: Boolean mask, True where a position is real. Other positions take no part in the statistics; their
            output is computed like that of real positions, as in Keras, with 0 for infinite values and NaN.
        residual: Tensor of the inputs' shape that is added before the activation.

    Raises:
        ValueError: an argument is invalid or contradicts another, or a mask or residual has a wrong shape.

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
        """Return the normalised inputs; in training also update the moving statistics."""
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
            # 0 · ∞ is NaN, so infinite padding would reach the gradients.
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
        """Return all arguments, for ``from_config``."""
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
        """Load the weights of a file; a file of Keras's layer has no ``batches``, which then starts at 0."""
        keys, last = store.keys(), len(self.weights) - 1
        if self.batches is not None and len(keys) == last:
            store = {**{key: store[key] for key in keys}, str(last): 0}
        super().load_own_variables(store)

    def _corrected(self, found: BatchMoments, gamma: Any, beta: Any) -> tuple[Tensor, Tensor]:
        """Return γ r and γ d + β, which turn batch normalization into batch renormalization."""
        kind = found.mean.dtype
        least = math.sqrt(self.epsilon)
        r, d = correction(
            found.mean,
            ops.sqrt(found.variance + self.epsilon),
            ops.cast(self.renorm_mean, kind),
            # An average with few batches may be close to 0.
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
