"""MNIST by convolution 32, BN, pooling, dense 128 and dense 10, as a tutorial has it.

The tutorial's network lacks the ``Flatten``, without which its output is ``(N, 13, 13, 10)`` and ``fit`` an error.

Run: KERAS_BACKEND=tensorflow python examples/keras/mnist_cnn.py
"""

import keras
from tutorial_data import arguments, images

from normwise.keras import BatchNormalization


def network(shape: tuple[int, ...], num_classes: int = 10) -> keras.Model:
    """Return the network for images of a shape."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(32, (3, 3), activation="relu"),
            BatchNormalization(),
            keras.layers.MaxPooling2D((2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(num_classes, activation="softmax"),
        ]
    )


def main() -> dict[str, list[float]]:
    """Train it, and print how well it does."""
    asked = arguments(__doc__)
    (x_train, y_train), (x_test, y_test) = images(asked)
    y_train = keras.utils.to_categorical(y_train, num_classes=10)
    y_test = keras.utils.to_categorical(y_test, num_classes=10)
    model = network(x_train.shape[1:])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, epochs=asked.epochs, batch_size=128, validation_data=(x_test, y_test), verbose=2
    )
    print(f"test accuracy {history.history['val_accuracy'][-1]:.2%}")
    return history.history


if __name__ == "__main__":
    main()
