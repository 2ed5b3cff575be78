"""MNIST row by row by an LSTM of 100 with layer normalization within.

What ``LayerNormBasicLSTMCell`` with ``dynamic_rnn`` was in TensorFlow 1: a cell, and ``keras.layers.RNN`` around it.

Run: KERAS_BACKEND=tensorflow python examples/keras/row_lstm.py
"""

import keras
from tutorial_data import arguments, images

from normwise.keras.networks import LayerNormLSTMCell


def network(shape: tuple[int, ...]) -> keras.Model:
    """Return the network for images of a shape."""
    height, width, channels = shape
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Reshape((height, width * channels)),
            keras.layers.RNN(LayerNormLSTMCell(100)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> dict[str, list[float]]:
    """Train it, and print how well it does."""
    asked = arguments(__doc__)
    (x_train, y_train), (x_test, y_test) = images(asked)
    model = network(x_train.shape[1:])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=asked.epochs, validation_data=(x_test, y_test), verbose=2
    )
    print(f"test accuracy {history.history['val_accuracy'][-1]:.2%}")
    return history.history


if __name__ == "__main__":
    main()
