"""Moments of all replicas of a distributed step, merged."""

import keras

from normwise.keras.moments import BatchMoments, Tensor
from normwise.keras.untyped import ops


def merged(own: BatchMoments, shape: list[int]) -> BatchMoments:
    r"""Return the moments of all replicas together, with gradients.

    With the parts :math:`k` of the batch, counts :math:`m_k` and :math:`m = \sum_k m_k`:

    .. math::

        \mu = \sum_k \frac{m_k}{m} \mu_k \qquad
        \sigma^2 = \sum_k \frac{m_k}{m} \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    On TensorFlow these are the replicas of a ``tf.distribute`` strategy. On JAX ``keras.distribution`` shards one
    batch, so that moments already are those of all devices.

    Args:
        own: Moments of this replica.
        shape: The shape to which ``(C,)`` is brought, to broadcast to the batch.
    """
    if keras.backend.backend() != "tensorflow":
        return own
    import tensorflow as tf  # keras.ops has no collectives

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return own

    def total(value: Tensor) -> Tensor:
        return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

    own = own._replace(positions=ops.cast(own.positions, own.mean.dtype))
    count = total(own.positions)
    some = ops.maximum(count, ops.ones_like(count))
    # Means of replicas differ little from one another, so that what is added up are differences from one of them.
    pivot = total(ops.stop_gradient(own.mean)) / context.num_replicas_in_sync
    mean = pivot + total(own.positions * (own.mean - pivot)) / some
    variance = total(own.positions * (own.variance + ops.square(own.mean - mean))) / some
    deviations = own.deviations + ops.reshape(own.mean - mean, shape)
    return BatchMoments(count, mean, variance, deviations, ops.reshape(variance, shape))
