"""MNIST by two convolutions of 64 with BN and ReLU, the tutorials' second example.

Run: KERAS_BACKEND=tensorflow python examples/keras/conv_pair.py
"""

import keras
from tutorial_data import arguments, images

from normwise.keras import BatchNormalization


def network(shape: tuple[int, ...]) -> keras.Model:
    """Return the network for images of a shape."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(64, (3, 3), padding="same"),
            BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Conv2D(64, (3, 3), padding="same"),
            BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Flatten(),
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
