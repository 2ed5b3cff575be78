"""Film reviews by BiLSTM 128, BN, BiLSTM 64, BN and dense 1, on word vectors (time, 300).

The vectors are learnt with the network, beginning at random on ±0.25, and there is dropout, without which so few
reviews are learnt by heart. ``mask_zero`` says where padding begins, and Keras hands that on to BN.

Run: KERAS_BACKEND=tensorflow python examples/keras/sentiment_bilstm.py
"""

import keras
from tutorial_data import arguments, reviews

from normwise.keras import BatchNormalization


def network(words: int) -> keras.Model:
    """Return the network for a vocabulary of so many words."""
    vectors = keras.initializers.RandomUniform(-0.25, 0.25)
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(words, 300, embeddings_initializer=vectors, mask_zero=True),
            keras.layers.Dropout(0.5),
            keras.layers.Bidirectional(keras.layers.LSTM(128, return_sequences=True)),
            BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Bidirectional(keras.layers.LSTM(64)),
            BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def main() -> dict[str, list[float]]:
    """Train it, and print how well it does."""
    asked = arguments(__doc__)
    (x_train, y_train), (x_test, y_test), words = reviews(asked)
    model = network(words)
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=asked.epochs, validation_data=(x_test, y_test), verbose=2
    )
    print(f"test accuracy {history.history['val_accuracy'][-1]:.2%}")
    return history.history


if __name__ == "__main__":
    main()
