"""Evaluation with the statistics of each batch, which leaves no trace in the network."""

import numpy as np
import pytest

from normwise.keras import networks
from normwise.keras.untyped import ops
from normwise.training.keras.evaluate_in_keras import using_batch_statistics


def test_outputs_are_those_of_a_call_in_training_without_dropout() -> None:
    x = np.random.default_rng(0).random((6, 8, 8, 1)).astype("float32")
    network = networks.build("dense_bn", (8, 8, 1), 3, logits=True)
    weights = network.get_weights()
    with using_batch_statistics(network) as in_training:
        found = in_training.predict_on_batch(x)
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(found, ops.convert_to_numpy(network(x, training=True)), atol=1e-5)
    assert np.abs(found - ops.convert_to_numpy(network(x, training=False))).max() > 0.01


def test_dropout_is_off_meanwhile_and_back_afterwards() -> None:
    network = networks.build("speech_lstm", (4,), 3, dropout=0.25)

    def fail() -> None:
        with using_batch_statistics(network):
            assert network.get_layer("first_dropout").rate == 0
            network.set_weights([weight * 0 for weight in network.get_weights()])
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert network.get_layer("first_dropout").rate == network.get_layer("second_dropout").rate == 0.25
    assert np.abs(network.get_weights()[0]).max() > 0
