"""Moving statistics are those of the data, whatever the model and the data are, and nothing else changes."""

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.errors import ArgumentError, ModelError
from normwise.keras.surgery.arrays import double

_KINDS = {"ours": nk.BatchNormalization, "Keras's": layers.BatchNormalization}


def _data(samples: int = 50, mean: float = 3.0) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(0).standard_normal((samples, 6)) * 2 + mean).astype("float32")


def _network(kind: Any = nk.BatchNormalization, **settings: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="relu"),
            kind(name="first", **settings),
            layers.Dense(4),
            kind(name="second", **settings),
            layers.Dense(2),
        ]
    )


class _Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.network = _network()

    def call(self, x: Any) -> Any:
        return self.network(x)


def _inputs_of(model: Any, name: str, x: Any) -> np.ndarray[Any, Any]:
    """Return what a layer gets in inference, in float64."""
    found = model.get_layer(name)
    return double(keras.Model(model.inputs[0], found.input)(x, training=False))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kind", _KINDS)
def test_each_layer_has_the_statistics_of_what_it_gets_in_evaluation(kind: str, unbiased: bool) -> None:
    if unbiased and kind != "ours":
        pytest.skip("Keras keeps a biased variance")
    settings = {"unbiased_moving_variance": True} if unbiased else {}
    model, x = _network(_KINDS[kind], **settings), _data()
    report = nk.calibrate(model, x, batch_size=7)
    for name in ("first", "second"):
        seen = _inputs_of(model, name, x)
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
    model, x = _network(), _data(48)
    report = nk.calibrate(model, x, order="training", batch_size=16)
    assert report.passes == 1
    first = model.get_layer("first")
    parts = []
    for part in np.split(_inputs_of(model, "first", x), 3):
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


class _PyDataset(keras.utils.PyDataset):
    def __init__(self, x: Any) -> None:
        super().__init__()
        self.x = x

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return self.x[index * 10 : index * 10 + 10], np.zeros(10)


def _tf_dataset(x: Any) -> Any:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, np.zeros(len(x)))).batch(8)


def _loader(x: Any) -> Any:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.zeros(len(x)))
    return torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)


_DATA: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda x: (x, np.zeros(len(x))),
    "tensor": keras.ops.convert_to_tensor,
    "float64": lambda x: x.astype("float64"),
    "list of batches": lambda x: [(x[:20], None), (x[20:], None)],
    "generator function": lambda x: lambda: ((part, None) for part in np.array_split(x, 4)),
    "PyDataset": _PyDataset,
    "tf.data": _tf_dataset,
    "DataLoader": _loader,
}


@pytest.mark.parametrize("name", _DATA)
def test_any_data_that_fit_takes_give_the_same_statistics(name: str) -> None:
    x = _data()
    keras.utils.set_random_seed(3)
    expected, model = _network(), _network()
    model.set_weights(expected.get_weights())
    nk.calibrate(expected, x)
    report = nk.calibrate(model, _DATA[name](x))
    assert not report.varied
    for want, got in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_several_inputs_are_a_list_or_a_dictionary() -> None:
    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    model = keras.Model([one, two], nk.BatchNormalization(name="bn")(layers.add([one, two])))
    x = _data()
    for data in ([x, 2 * x], {"one": x, "two": 2 * x}, ([x, 2 * x], np.zeros(50))):
        model.get_layer("bn").moving_mean.assign(np.zeros(6))
        nk.calibrate(model, data)
        np.testing.assert_allclose(
            double(model.get_layer("bn").moving_mean), 3 * x.astype(float).mean(0), rtol=1e-6
        )


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


@pytest.mark.parametrize("kind", _KINDS)
def test_all_statistics_of_a_renorm_layer_are_those_of_the_data(kind: str) -> None:
    model, x = _network(_KINDS[kind], renorm=True, epsilon=0.01), _data()
    nk.calibrate(model, x)
    layer, seen = model.get_layer("second"), _inputs_of(model, "second", x)
    deviation = np.sqrt(seen.var(0) + 0.01)
    for name, expected in (
        ("moving_mean", seen.mean(0)),
        ("renorm_mean", seen.mean(0)),
        ("moving_stddev", deviation),
        ("renorm_stddev", deviation),
    ):
        np.testing.assert_allclose(double(getattr(layer, name)), expected, rtol=1e-5, atol=1e-6)


def test_the_number_of_batches_of_a_plain_average_stays() -> None:
    model, x = _network(nk.BatchNormalization, momentum=None), _data()
    model(x, training=True)
    nk.calibrate(model, x)
    assert int(double(model.get_layer("first").batches)) == 1


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
    model, x = _Subclassed(), _data()
    model(x)
    report = nk.calibrate(model, x)
    assert [layer.path.split("/")[-1] for layer in report.layers] == ["first", "second"]
    assert all(layer.calibrated and "/" in layer.path for layer in report.layers)


def test_what_can_not_be_calibrated_is_left_and_the_reason_is_said() -> None:
    class _Own(nk.BatchNormalization):
        def call(self, inputs: Any, training: Any = None, mask: Any = None, residual: Any = None) -> Any:
            return super().call(2 * inputs, training=training, mask=mask, residual=residual)

    by_batch = nk.BatchNormalization(name="by_batch")

    class _Trains(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="trains")
            self.by_batch = by_batch

        def call(self, x: Any) -> Any:
            return self.by_batch(x, training=True)

    given = keras.Input((6,))
    y = nk.BatchNormalization(name="good")(given)
    y = nk.BatchNormalization(name="frozen", trainable=False)(y)
    y = _Trains()(y)
    model = keras.Model(given, _Own(name="own")(y))
    before = model.get_weights()
    reasons = {layer.path: layer.reason for layer in nk.calibrate(model, _data()).layers}
    assert reasons["good"] == ""
    assert "it is frozen (include_frozen=True" in reasons["frozen"]
    assert reasons["trains/by_batch"] == "it normalises by the batch in evaluation, too"
    assert "_Own has a call of its own" in reasons["own"]
    for layer in (model.get_layer("frozen"), by_batch, model.get_layer("own")):
        number = [weight.path for weight in model.weights].index(layer.moving_mean.path)
        np.testing.assert_array_equal(model.get_weights()[number], before[number])
    frozen = nk.calibrate(model, _data(), include_frozen=True).layers[1]
    assert frozen.calibrated


def test_nothing_has_changed_after_an_exception() -> None:
    model = _network(renorm=True)
    before = [value.copy() for value in model.get_weights()]
    x = _data()
    bad = x.copy()
    bad[-1] = np.nan
    state = random.getstate()
    with pytest.raises(ModelError) as raised:
        nk.calibrate(model, bad)
    assert str(raised.value) == (  # and no word of Keras around it
        "batch 1 (counted from 0) gives channel 0 of 'first' values that are not finite, and its statistics would not "
        "be either. Find out where they come from, or leave that batch out"
    )
    for want, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    assert random.getstate() == state
    assert all("call" not in vars(layer) for layer in model.layers)


def test_modes_of_training_and_the_optimiser_stay() -> None:
    model, x = _network(), _data()
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    before = {
        weight.path: double(weight) for weight in [*model.trainable_weights, *model.optimizer.variables]
    }
    nk.calibrate(model, x)
    for weight in [*model.trainable_weights, *model.optimizer.variables]:
        np.testing.assert_array_equal(double(weight), before[weight.path])
    assert model.optimizer.built
    assert all(layer.trainable for layer in model.layers)


def test_inputs_in_half_precision_are_added_up_in_float64() -> None:
    model = _network(nk.BatchNormalization, dtype="mixed_float16")
    x = _data(200, 200.0)
    nk.calibrate(model, x)
    seen = double(model.layers[0](x)).astype("float16").astype(float)
    np.testing.assert_allclose(double(model.get_layer("first").moving_mean), seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(double(model.get_layer("first").moving_variance), seen.var(0), rtol=1e-4)


@pytest.mark.parametrize(
    ("data", "settings", "error", "text"),
    [
        (None, {"order": "none"}, ArgumentError, "unknown order 'none'; known are 'evaluation', 'training'"),
        (None, {"max_batches": 0}, ArgumentError, "max_batches must be a whole number, at least 1, got 0"),
        (None, {"batch_size": True}, ArgumentError, "batch_size must be a whole number"),
        (lambda x: iter([x]), {}, ArgumentError, "an iterator can be read once"),
        (lambda x: [], {}, ArgumentError, "the data have no batches"),
        (lambda x: "mnist", {}, ArgumentError, "expected batches as data, got str"),
        (
            lambda x: x[:, :3],
            {},
            ModelError,
            r"^the model fails on batch 0 .*: ValueError: Input .* shape \(.*\)$",
        ),
        (lambda x: x[:1], {}, ModelError, "it sees fewer than two values a channel"),
    ],
)
def test_bad_input_gets_a_clear_error(data: Any, settings: dict[str, Any], error: Any, text: str) -> None:
    x = _data()
    with pytest.raises(error, match=text):
        nk.calibrate(_network(), x if data is None else data(x), **settings)


def test_a_model_without_weights_or_layers_gets_a_clear_error() -> None:
    with pytest.raises(ArgumentError, match="has no weights yet; call it on a batch once"):
        nk.calibrate(keras.Sequential([nk.BatchNormalization()]), _data())
    with pytest.raises(ModelError, match="has no BatchNormalization layer"):
        nk.calibrate(keras.Sequential([keras.Input((6,)), layers.Dense(2)]), _data())
    with pytest.raises(ArgumentError, match="expected a model of Keras, got ndarray"):
        nk.calibrate(_data(), _network())


class _Traced(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nk.BatchNormalization(name="bn")
        self.bn.build((None, 6))

    def call(self, x: Any) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            return jax.jit(self.bn)(x)
        import tensorflow as tf

        return tf.function(self.bn)(x)


def test_a_layer_in_traced_code_is_left_and_the_reason_is_said() -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("torch has no traced code that Keras would run")
    model = _Traced()
    model.built = True
    with pytest.raises(ModelError, match="'bn': it is called in traced code, such as that of"):
        nk.calibrate(model, _data())
    np.testing.assert_array_equal(double(model.bn.moving_mean), np.zeros(6))


def test_masks_that_differ_between_channels_are_refused() -> None:
    inputs: Any = keras.Input((3,))
    model = keras.Model(inputs, nk.BatchNormalization()(inputs, mask=inputs < 50))
    x = np.where(np.arange(24).reshape(8, 3) % 2, 99.0, 1.0).astype("float32")
    with pytest.raises(ModelError, match="the mask differs between channels, axis 1"):
        nk.calibrate(model, x)
