"""Images of 64×64×3 by two convolutions and a dense layer of 128, each with BN after the activation.

The images are the first 12,000 of MNIST, in colours and enlarged twice, with a margin: all 60,000 would take 3 GB.

Run: KERAS_BACKEND=tensorflow python examples/keras/cnn_64.py
"""

import keras
from tutorial_data import arguments, coloured_images

from normwise.keras import BatchNormalization


def network(shape: tuple[int, ...]) -> keras.Model:
    """Return the network for images of a shape."""
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(32, (3, 3), activation="relu"),
            BatchNormalization(),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Conv2D(64, (3, 3), activation="relu"),
            BatchNormalization(),
            keras.layers.MaxPooling2D(pool_size=(2, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> dict[str, list[float]]:
    """Train it, and print how well it does."""
    asked = arguments(__doc__)
    asked.samples = asked.samples or 12_000
    (x_train, y_train), (x_test, y_test) = coloured_images(asked, 64)
    model = network(x_train.shape[1:])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=asked.epochs, validation_data=(x_test, y_test), verbose=2
    )
    print(f"test accuracy {history.history['val_accuracy'][-1]:.2%}")
    return history.history


if __name__ == "__main__":
    main()
