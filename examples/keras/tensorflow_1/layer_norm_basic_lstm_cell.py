"""`tf.contrib.rnn.LayerNormBasicLSTMCell` with `tf.nn.dynamic_rnn`, as a cell of Keras.

Run: KERAS_BACKEND=torch python examples/keras/tensorflow_1/layer_norm_basic_lstm_cell.py

The old form:

    cell_bn = tf.contrib.rnn.LayerNormBasicLSTMCell(num_units=n_hidden)
    output, state = tf.nn.dynamic_rnn(cell_bn, inputs, dtype=tf.float32)

The class is layer normalization of each gate by itself, and of the cell; it has no batch normalization, whatever its
variable is called. The cell that goes on to the next step is the normalised one, which is not so in Ba et al. 2016 and
in `normwise.nn.LayerNormLSTM`. Weights of an old checkpoint load as they are: same names, order and shapes.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

#: Gates in the order of TensorFlow 1's kernel: input, new input, forget, output.
_GATES = ("input", "transform", "forget", "output")


@keras.saving.register_keras_serializable(package="tensorflow_1")
class LayerNormBasicLSTMCell(keras.layers.Layer):
    r"""A layer-normalised LSTM as TensorFlow 1 computed it.

    .. math::

        (i, j, f, o) &= W [x_t; h_{t-1}] \\
        c_t &= \mathrm{LN}\left(\sigma(\mathrm{LN}(f) + b_f) \odot c_{t-1} +
               \sigma(\mathrm{LN}(i)) \odot \tanh(\mathrm{LN}(j))\right) \\
        h_t &= \sigma(\mathrm{LN}(o)) \odot \tanh(c_t)

    Each LN has γ and β of its own, ``(units,)``.

    Args:
        units: Size of h and of c.
        forget_bias: Added to the forget gate; no weight.
        epsilon: Added to the variances; TensorFlow 1 had 1e-12 there.
        kwargs: Those of ``keras.layers.Layer``.
    """

    def __init__(self, units: int, forget_bias: float = 1.0, epsilon: float = 1e-12, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.forget_bias = forget_bias
        self.epsilon = epsilon
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape: Any) -> None:
        """Make the kernel, (inputs + units, 4 units), and γ and β of the five norms."""
        self.kernel = self.add_weight(
            shape=(input_shape[-1] + self.units, 4 * self.units), name="kernel", initializer="glorot_uniform"
        )
        self.gains, self.shifts = {}, {}
        for name in (*_GATES, "state"):
            self.gains[name] = self.add_weight(shape=(self.units,), name=f"{name}_gamma", initializer="ones")
            self.shifts[name] = self.add_weight(shape=(self.units,), name=f"{name}_beta", initializer="zeros")

    def call(self, inputs: Any, states: Any, training: bool | None = None) -> Any:
        """Return the output of a step, and the states after it."""
        h, c = states
        parts = ops.split(ops.matmul(ops.concatenate([inputs, h], axis=-1), self.kernel), 4, axis=-1)
        i, j, f, o = (self._norm(name, part) for name, part in zip(_GATES, parts, strict=True))
        c = ops.sigmoid(f + self.forget_bias) * c + ops.sigmoid(i) * ops.tanh(j)
        c = self._norm("state", c)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """Return all arguments."""
        own = {"units": self.units, "forget_bias": self.forget_bias, "epsilon": self.epsilon}
        return {**super().get_config(), **own}

    def _norm(self, name: str, x: Any) -> Any:
        deviations = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(deviations), axis=-1, keepdims=True)
        return deviations * ops.rsqrt(variance + self.epsilon) * self.gains[name] + self.shifts[name]


def main() -> None:
    """Run the cell over sequences, and print what is normalised."""
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(0).standard_normal((2, 20, 8)).astype("float32")
    # What dynamic_rnn did; its sequence_length is the layer's mask.
    layer = keras.layers.RNN(LayerNormBasicLSTMCell(16), return_sequences=True, return_state=True)
    output, h, c = (ops.convert_to_numpy(found) for found in layer(inputs))
    print(f"output {output.shape}, its last step is the state h: {bool((output[:, -1] == h).all())}")
    print(
        f"state c after 20 steps: mean {abs(c.mean(1)).max():.2f}, standard deviation {c.std(1).mean():.2f}"
    )


if __name__ == "__main__":
    main()
