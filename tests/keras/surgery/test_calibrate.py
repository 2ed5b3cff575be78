"""Moving statistics are those of the data, whatever the model is."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.keras.surgery.arrays import double
from tests.keras.surgery.calibrate_cases import KINDS, inputs_of, network, samples


class _Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def call(self, x: Any) -> Any:
        return self.network(x)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_layer_has_the_statistics_of_what_it_gets_in_evaluation(kind: str, unbiased: bool) -> None:
    if unbiased and kind != "ours":
        pytest.skip("Keras keeps a biased variance")
    settings = {"unbiased_moving_variance": True} if unbiased else {}
    model, x = network(KINDS[kind], **settings), samples()
    report = nk.calibrate(model, x, batch_size=7)
    for name in ("first", "second"):
        seen = inputs_of(model, name, x)
        np.testing.assert_allclose(
            double(model.get_layer(name).moving_mean), seen.mean(0), rtol=1e-6, atol=1e-6
        )
        np.testing.assert_allclose(
            double(model.get_layer(name).moving_variance), seen.var(0, ddof=unbiased), rtol=2e-6
        )
    assert (report.passes, report.batches, [layer.count for layer in report.layers]) == (2, 8, [50, 50])
    assert report.layers[0].verdict == "bad"
    again = nk.calibrate(model, x)
    assert all(layer.error < 1e-6 for layer in again.layers)


def test_the_order_training_takes_one_pass_with_the_statistics_of_each_batch() -> None:
    model, x = network(), samples(48)
    report = nk.calibrate(model, x, order="training", batch_size=16)
    assert report.passes == 1
    first = model.get_layer("first")
    parts = []
    for part in np.split(inputs_of(model, "first", x), 3):
        scaled = (part - part.mean(0)) / np.sqrt(part.var(0) + first.epsilon)
        parts.append(double(model.layers[2](scaled.astype("float32"))))
    seen = np.concatenate(parts)
    second = model.get_layer("second")
    np.testing.assert_allclose(double(second.moving_mean), seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(double(second.moving_variance), seen.var(0), rtol=1e-4)


def test_the_variance_of_batches_leaves_out_what_their_means_differ_by() -> None:
    model = keras.Sequential([keras.Input((1,)), nk.BatchNormalization(name="only")])
    x = np.array([[0.0], [2.0], [10.0], [12.0]], "float32")
    nk.calibrate(model, x, batch_size=2, variance="batch")
    assert double(model.get_layer("only").moving_variance) == pytest.approx(1.0)
    nk.calibrate(model, x, batch_size=2)
    assert double(model.get_layer("only").moving_variance) == pytest.approx(26.0)


def test_what_a_mask_excludes_has_no_part_in_the_statistics() -> None:
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            layers.Embedding(7, 3, mask_zero=True, name="embedding"),
            nk.BatchNormalization(name="bn"),
        ]
    )
    words = np.array([[1, 2, 0, 0], [3, 4, 5, 0], [6, 1, 1, 2]])
    report = nk.calibrate(model, words)
    real = double(model.get_layer("embedding").embeddings)[words[words > 0]]
    assert report.layers[0].count == 9
    np.testing.assert_allclose(double(model.get_layer("bn").moving_mean), real.mean(0), atol=1e-7)
    np.testing.assert_allclose(double(model.get_layer("bn").moving_variance), real.var(0), atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_all_statistics_of_a_renorm_layer_are_those_of_the_data(kind: str) -> None:
    model, x = network(KINDS[kind], renorm=True, epsilon=0.01), samples()
    nk.calibrate(model, x)
    layer, seen = model.get_layer("second"), inputs_of(model, "second", x)
    deviation = np.sqrt(seen.var(0) + 0.01)
    for name, expected in (
        ("moving_mean", seen.mean(0)),
        ("renorm_mean", seen.mean(0)),
        ("moving_stddev", deviation),
        ("renorm_stddev", deviation),
    ):
        np.testing.assert_allclose(double(getattr(layer, name)), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_that_is_called_several_times_has_the_statistics_of_all_its_inputs() -> None:
    shared = nk.BatchNormalization(name="shared")
    given = keras.Input((5, 6))
    model = keras.Model(given, layers.TimeDistributed(shared)(given))
    x = np.random.default_rng(0).standard_normal((20, 5, 6)).astype("float32") + np.arange(5)[:, None]
    report = nk.calibrate(model, x.astype("float32"))
    assert report.layers[0].count == 100
    np.testing.assert_allclose(double(shared.moving_mean), x.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(double(shared.moving_variance), x.var((0, 1)), rtol=1e-5)


def test_layers_of_nested_and_subclassed_models_are_found_by_path() -> None:
    model, x = _Subclassed(), samples()
    model(x)
    report = nk.calibrate(model, x)
    assert [layer.path.split("/")[-1] for layer in report.layers] == ["first", "second"]
    assert all(layer.calibrated and "/" in layer.path for layer in report.layers)


def test_inputs_in_half_precision_are_added_up_in_float64() -> None:
    model = network(nk.BatchNormalization, dtype="mixed_float16")
    x = samples(200, 200.0)
    nk.calibrate(model, x)
    seen = double(model.layers[0](x)).astype("float16").astype(float)
    np.testing.assert_allclose(double(model.get_layer("first").moving_mean), seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(double(model.get_layer("first").moving_variance), seen.var(0), rtol=1e-4)
