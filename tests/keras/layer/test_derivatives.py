"""Second derivatives of the layer in training, beside differences of the oracle's first ones."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise import reference
from normwise.keras import BatchNormalization
from normwise.keras.untyped import ops

_SHAPE = (6, 5, 3)


def _gradient_of_oracle(x: Any, weights: Any, mask: Any) -> np.ndarray:
    forward: Any = reference.batch_norm(
        np.moveaxis(x, -1, 1), weight=np.linspace(0.5, 2, 3), training=True, eps=1e-3, mask=mask
    )
    y = np.moveaxis(forward.output, 1, -1)
    found = reference.batch_norm_backward(forward, np.moveaxis(2 * weights * y, -1, 1))
    return np.moveaxis(found.x, 1, -1)


def _product_with_hessian(layer: Any, x: Any, weights: Any, along: Any, mask: Any) -> Any:
    """Return the derivative of the gradient of the weighted sum of squares, along a direction."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        state = [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]

        def loss(x: Any) -> Any:
            return (weights * layer.stateless_call(*state, x, training=True, mask=mask)[0] ** 2).sum()

        # Forward over reverse, as jax.hessian does it.
        return jax.jvp(jax.grad(loss), (x,), (along,))[1]
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = tf.reduce_sum(weights * layer(x, training=True, mask=mask) ** 2)
            product = tf.reduce_sum(inner.gradient(value, x) * along)
        return outer.gradient(product, x)
    import torch

    x.requires_grad_()
    value = (weights * layer(x, training=True, mask=mask) ** 2).sum()
    (first,) = torch.autograd.grad(value, x, create_graph=True)
    return torch.autograd.grad((first * along).sum(), x)[0]


@pytest.mark.parametrize("masked", [False, True])
def test_second_derivatives_are_those_of_the_definition(masked: bool) -> None:
    rng = np.random.default_rng(0)
    x, weights, along = rng.standard_normal((3, *_SHAPE))
    mask: Any = rng.random(_SHAPE[:-1]) > 0.3 if masked else None
    if mask is not None:
        weights = weights * mask[..., None]
        along = along * mask[..., None]
    layer: Any = BatchNormalization()
    layer.build(_SHAPE)
    layer.gamma.assign(np.linspace(0.5, 2, 3))
    x32, weights32, along32 = (ops.convert_to_tensor(a.astype("float32")) for a in (x, weights, along))
    given = None if mask is None else ops.convert_to_tensor(mask)
    found = _product_with_hessian(layer, x32, weights32, along32, given)
    step = 1e-5
    more, less = (_gradient_of_oracle(x + sign * step * along, weights, mask) for sign in (1, -1))
    np.testing.assert_allclose(ops.convert_to_numpy(found), (more - less) / (2 * step), atol=1e-4)
