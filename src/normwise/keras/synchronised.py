"""Moments of all replicas of a distributed step, merged."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from normwise.keras.moments import BatchMoments, Tensor
from normwise.keras.untyped import ops


class _Replicas(NamedTuple):
    """The replicas of a step, two or more.

    Attributes:
        number: Number of replicas.
        index: Index of this replica, from 0.
        total: Function that sums a tensor over all replicas, with gradients.
    """

    number: int
    index: Any
    total: Callable[[Tensor], Tensor]


def merged(own: BatchMoments, shape: list[int], name: str) -> BatchMoments:
    r"""Return the moments of all replicas together, with gradients, by one collective.

    With the parts :math:`k` of the batch, counts :math:`m_k` and :math:`m = \sum_k m_k`:

    .. math::

        \mu = \sum_k \frac{m_k}{m} \mu_k \qquad
        \sigma^2 = \sum_k \frac{m_k}{m} \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    On TensorFlow these are the replicas of a ``tf.distribute`` strategy. On JAX they are the devices of all axes that
    ``jax.shard_map`` or ``jax.pmap`` maps; ``keras.distribution`` shards one batch, so that moments already are those
    of all devices. On torch they are the processes of the default group of ``torch.distributed``.

    Args:
        own: Moments of this replica.
        shape: Shape to which ``(C,)`` is reshaped, to broadcast to the batch.
        name: Name of the layer, for errors.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        from normwise.keras import on_torch

        found = on_torch.merged(own, name)
    else:
        replicas = _of_tensorflow() if backend == "tensorflow" else _of_jax()
        if replicas is None:
            return own
        found = _merged(own, replicas)
    rest = own.rest + ops.reshape(found.mean - own.mean, shape)
    return found._replace(deviations=own.deviations, rest=rest, spread=ops.reshape(found.variance, shape))


def _merged(own: BatchMoments, replicas: _Replicas) -> BatchMoments:
    """Return the moments of all replicas, without deviations."""
    kind = own.mean.dtype
    # One for all channels, or one for each.
    positions = ops.reshape(ops.cast(own.positions, kind), (-1,))
    values = ops.concatenate([positions, own.mean, own.variance])
    # Each replica writes its own row, so that only zeros are added to it, and no digits are lost.
    mine = ops.equal(ops.arange(replicas.number), ops.cast(replicas.index, "int32"))
    rows = ops.where(ops.reshape(mine, (-1, 1)), ops.reshape(values, (1, -1)), ops.cast(0, kind))
    rows = replicas.total(rows)
    known, channels = positions.shape[0], own.mean.shape[0]
    counts, means, variances = rows[:, :known], rows[:, known : known + channels], rows[:, known + channels :]
    count = ops.sum(counts, 0)
    shares = counts / ops.maximum(count, ops.ones_like(count))
    # Relative to the mean of a replica that has positions, so that differences are summed.
    first = ops.stop_gradient(ops.take(means, ops.argmax(counts[:, 0]), axis=0))
    mean = first + ops.sum(shares * (means - first), 0)
    variance = ops.sum(shares * (variances + ops.square(means - mean)), 0)
    return BatchMoments(count[0] if known == 1 else count, mean, variance)


def _of_tensorflow() -> _Replicas | None:
    """Return the replicas of the running step; None if this is the only one."""
    import tensorflow as tf  # keras.ops has no collectives

    context: Any = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return _Replicas(
        context.num_replicas_in_sync,
        context.replica_id_in_sync_group,
        lambda value: context.all_reduce(tf.distribute.ReduceOp.SUM, value),
    )


def _of_jax() -> _Replicas | None:
    """Return the devices of the running function; None if one device runs it, or if it has the whole batch."""
    import jax

    mapped: Any = jax.sharding.get_abstract_mesh()
    axes = tuple(mapped.manual_axes)
    number = 1
    for axis in axes:
        number *= mapped.shape[axis]
    if number == 1:
        return None
    return _Replicas(number, jax.lax.axis_index(axes), lambda value: jax.lax.psum(value, axes))
