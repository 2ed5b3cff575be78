"""Spoken digits by LSTM 128, BN, LSTM 64, BN and dense 10, on (time, 40).

Recordings differ in length. ``Masking`` says where padding begins, and Keras hands that on: without it the statistics
of the first BN would be those of sounds and padding together.

Run: KERAS_BACKEND=tensorflow python examples/keras/speech_lstm.py
"""

import keras
from tutorial_data import arguments, recordings

from normwise.keras import BatchNormalization


def network(features: int) -> keras.Model:
    """Return the network for frames of so many features."""
    return keras.Sequential(
        [
            keras.Input((None, features)),
            keras.layers.Masking(),
            keras.layers.LSTM(128, return_sequences=True),
            BatchNormalization(),
            keras.layers.LSTM(64),
            BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> dict[str, list[float]]:
    """Train it, and print how well it does."""
    asked = arguments(__doc__)
    (x_train, y_train), (x_test, y_test) = recordings(asked)
    model = network(x_train.shape[-1])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=asked.epochs, validation_data=(x_test, y_test), verbose=2
    )
    print(f"test accuracy {history.history['val_accuracy'][-1]:.2%}")
    return history.history


if __name__ == "__main__":
    main()
