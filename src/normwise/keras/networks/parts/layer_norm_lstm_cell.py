"""The step of an LSTM with layer normalization within."""

from typing import Any

import keras

from normwise.keras.untyped import ops


@keras.saving.register_keras_serializable(package="normwise")
class LayerNormLSTMCell(keras.layers.Layer):
    r"""An LSTM cell with layer normalization, for ``keras.layers.RNN``.

    .. math::

        (i, f, g, o)^T &= \mathrm{LN}(W_h h_{t-1}; \gamma_h) + \mathrm{LN}(W_x x_t; \gamma_x) + b \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g) \\
        h_t &= \sigma(o) \odot \tanh(\mathrm{LN}(c_t; \gamma_c, \beta_c))

    with the mean and biased variance of the vector itself, over its 4 H or H elements: the equations of
    ``normwise.nn.LayerNormLSTM``. A sample's output depends on no other sample. The weights are ``kernel`` (F, 4 H),
    ``recurrent_kernel`` (H, 4 H), ``bias`` (4 H), ``gamma_input`` (4 H), ``gamma_recurrent`` (4 H), ``gamma_cell`` (H)
    and ``beta_cell`` (H).

    Args:
        units: Size H of the output and of each of the two states.
        epsilon: Number that is added to the variances.
        unit_forget_bias: Whether the forget gate's bias begins at 1, as in ``keras.layers.LSTM``, and not at 0.
        kwargs: Arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: ``units`` is less than 1.

    References:
        Ba, Kiros & Hinton 2016, https://arxiv.org/abs/1607.06450, section 3.1 and equations 20 to 22 of the supplement.

    Example::

        layer = keras.layers.RNN(LayerNormLSTMCell(100), return_sequences=True)
    """

    def __init__(
        self, units: int, *, epsilon: float = 1e-3, unit_forget_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"units must be 1 or more, got {units}")
        self.units, self.epsilon, self.unit_forget_bias = units, epsilon, unit_forget_bias
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs ``(N, F)``."""
        wide = 4 * self.units
        self.kernel = self.add_weight((input_shape[-1], wide), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, wide), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((wide,), self._initial_bias, name="bias")
        self.gamma_input = self.add_weight((wide,), "ones", name="gamma_input")
        self.gamma_recurrent = self.add_weight((wide,), "ones", name="gamma_recurrent")
        self.gamma_cell = self.add_weight((self.units,), "ones", name="gamma_cell")
        self.beta_cell = self.add_weight((self.units,), "zeros", name="beta_cell")

    def call(self, inputs: Any, states: Any, training: bool | None = None) -> tuple[Any, list[Any]]:
        """Return the output ``(N, H)`` of one step, and the states after it."""
        hidden, cell = states
        gates = (
            self._normalised(ops.matmul(hidden, self.recurrent_kernel), self.gamma_recurrent)
            + self._normalised(ops.matmul(inputs, self.kernel), self.gamma_input)
            + self.bias
        )
        write, keep, new, show = ops.split(gates, 4, axis=-1)
        cell = ops.sigmoid(keep) * cell + ops.sigmoid(write) * ops.tanh(new)
        shown = ops.tanh(self._normalised(cell, self.gamma_cell) + self.beta_cell)
        hidden = ops.sigmoid(show) * shown
        return hidden, [hidden, cell]

    def get_config(self) -> dict[str, Any]:
        """Return all arguments, for ``from_config``."""
        own = {"units": self.units, "epsilon": self.epsilon, "unit_forget_bias": self.unit_forget_bias}
        return {**super().get_config(), **own}

    def _initial_bias(self, shape: Any, dtype: Any = None) -> Any:
        parts = [float(self.unit_forget_bias and gate == 1) for gate in range(4)]
        return ops.concatenate([ops.full((self.units,), value, dtype=dtype) for value in parts])

    def _normalised(self, x: Any, gamma: Any) -> Any:
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon) * gamma
