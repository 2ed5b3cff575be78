"""A folded copy computes what the model does, and what can't be folded is left with the reason."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.errors import ArgumentError, ModelError
from normwise.keras.surgery.arrays import double

Scramble = Callable[[Any], Any]
_RNG = np.random.default_rng(0)
#: A layer that can take BN over, and the shape of its input.
_MIXERS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "Dense": (lambda **s: layers.Dense(5, **s), (4,)),
    "Dense of sequences": (lambda **s: layers.Dense(5, **s), (3, 4)),
    "Conv1D": (lambda **s: layers.Conv1D(5, 3, strides=2, **s), (9, 4)),
    "Conv2D": (lambda **s: layers.Conv2D(5, 3, **s), (6, 5, 4)),
    "grouped": (lambda **s: layers.Conv2D(6, 3, groups=2, dilation_rate=2, **s), (7, 6, 4)),
    "Conv3D": (lambda **s: layers.Conv3D(3, 2, **s), (4, 4, 3, 2)),
    "DepthwiseConv1D": (lambda **s: layers.DepthwiseConv1D(3, depth_multiplier=2, **s), (9, 4)),
    "DepthwiseConv2D": (lambda **s: layers.DepthwiseConv2D(3, depth_multiplier=2, **s), (6, 5, 4)),
    "SeparableConv1D": (lambda **s: layers.SeparableConv1D(5, 3, **s), (9, 4)),
    "SeparableConv2D": (lambda **s: layers.SeparableConv2D(5, 3, depth_multiplier=2, **s), (6, 5, 4)),
    "Conv1DTranspose": (lambda **s: layers.Conv1DTranspose(5, 3, strides=2, **s), (5, 4)),
    "Conv2DTranspose": (lambda **s: layers.Conv2DTranspose(5, 3, strides=2, padding="same", **s), (4, 4, 3)),
    "Conv3DTranspose": (lambda **s: layers.Conv3DTranspose(3, 2, **s), (3, 3, 2, 2)),
}
_KINDS = [nk.BatchNormalization, layers.BatchNormalization]


def _random(*shape: int) -> Any:
    return _RNG.standard_normal(shape).astype("float32")


def _details(report: Any) -> dict[str, str]:
    return {change.path: change.detail for change in report.changes}


def _assert_equal(model: Any, folded: Any, x: Any) -> None:
    np.testing.assert_allclose(double(folded(x, training=False)), double(model(x, training=False)), atol=2e-5)


@pytest.mark.parametrize(
    ("name", "use_bias"), [(name, number % 2 > 0) for number, name in enumerate(_MIXERS)]
)
def test_bn_is_folded_into_the_layer_before_it(name: str, use_bias: bool, scrambled: Scramble) -> None:
    make, shape = _MIXERS[name]
    kind = _KINDS[use_bias]
    model = scrambled(keras.Sequential([keras.Input(shape), make(use_bias=use_bias), kind(name="bn")]))
    before, x = model.get_weights(), _random(3, *shape)
    folded, report = nk.fold(model, x)
    assert [type(layer) for layer in folded.layers] == [type(model.layers[0])]
    assert report.changes[0].detail.endswith("before it")
    assert report.output_error < 1e-5
    _assert_equal(model, folded, x)
    for want, got in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", [name for name in _MIXERS if "Transpose" not in name])
def test_bn_is_folded_into_the_layer_behind_it_where_that_does_not_pad(
    name: str, scrambled: Scramble
) -> None:
    make, shape = _MIXERS[name]
    bn = nk.BatchNormalization(name="bn")
    model = scrambled(keras.Sequential([keras.Input(shape), bn, layers.Dropout(0.5), make(use_bias=False)]))
    x = _random(3, *shape)
    folded, report = nk.fold(model, x)
    assert report.changes[0].detail.endswith("behind it"), report
    assert len(folded.layers) == 2
    _assert_equal(model, folded, x)


@pytest.mark.parametrize("make", [layers.Conv2DTranspose, layers.Conv2D])
def test_a_shift_before_zeros_at_the_borders_is_left_and_none_is_folded(
    make: Any, scrambled: Scramble
) -> None:
    bn = nk.BatchNormalization(name="bn", center=False)
    model = scrambled(keras.Sequential([keras.Input((5, 5, 3)), bn, make(2, 3, padding="same")]))
    x = _random(2, 5, 5, 3)
    _, report = nk.fold(model, x)
    assert "pads with zeros, to which the shift is not added" in _details(report)["bn"]
    bn.moving_mean.assign(np.zeros(3))
    folded, report = nk.fold(model, x)
    assert report.changes[0].changed
    _assert_equal(model, folded, x)


def test_channels_first_is_the_axis_of_the_channels(scrambled: Scramble) -> None:
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow has no convolution with channels first on a CPU")
    model = scrambled(
        keras.Sequential(
            [
                keras.Input((3, 6, 5)),
                layers.Conv2D(5, 3, data_format="channels_first"),
                nk.BatchNormalization(axis=1, name="bn"),
                nk.BatchNormalization(name="wrong"),
            ]
        )
    )
    x = _random(2, 3, 6, 5)
    folded, report = nk.fold(model, x)
    assert [change.changed for change in report.changes] == [True, False]
    assert "normalises another axis than the one on which Conv2D" in _details(report)["wrong"]
    _assert_equal(model, folded, x)


def test_layers_on_both_sides_of_a_convolution_are_folded_into_it_in_half_precision_too(
    scrambled: Scramble,
) -> None:
    model = scrambled(
        keras.Sequential(
            [
                keras.Input((5, 5, 3)),
                layers.BatchNormalization(name="before"),
                layers.Conv2D(4, 3, use_bias=False, name="conv"),
                nk.BatchNormalization(name="behind"),
            ]
        )
    )
    x = _random(2, 5, 5, 3)
    folded, report = nk.fold(model, x)
    assert _details(report) == {
        "before": "folded into Conv2D 'conv' behind it",
        "behind": "folded into Conv2D 'conv' before it",
    }
    _assert_equal(model, folded, x)
    for layer in model.layers:
        layer.dtype_policy = "mixed_float16"
    _, report = nk.fold(model, x)
    assert all(change.changed for change in report.changes)
    assert report.tolerance == pytest.approx(2**-5)


def test_activation_and_residual_of_a_layer_stay_in_its_place(scrambled: Scramble) -> None:
    given = keras.Input((4,))
    shortcut = layers.Dense(4, name="shortcut")(given)
    y = layers.Dense(4, name="dense")(given)
    y = nk.BatchNormalization(name="bn", activation="relu")(y, residual=shortcut)
    y = layers.Dense(3, name="last")(y)
    model = scrambled(keras.Model(given, nk.BatchNormalization(name="out", activation="tanh")(y)))
    x = _random(8, 4)
    folded, report = nk.fold(model, x)
    assert _details(report) == {
        "bn": "folded into Dense 'dense' before it; its residual and relu stays in its place",
        "out": "folded into Dense 'last' before it; tanh stays in its place",
    }
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    _assert_equal(model, folded, x)


def test_nested_models_are_followed_and_several_bn_layers_share_a_convolution(scrambled: Scramble) -> None:
    block = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv")], name="block")
    head_input = keras.Input((4, 4, 4))
    y = nk.BatchNormalization(name="one")(head_input)
    y = nk.BatchNormalization(name="two")(y)
    y = layers.ReLU()(y)
    head: Any = keras.Model(head_input, keras.ops.add(keras.ops.mean(y, axis=(1, 2)), 1.0), name="head")
    given = keras.Input((6, 6, 3))
    model = scrambled(keras.Model(given, head(block(given))))
    x = _random(2, 6, 6, 3)
    folded, report = nk.fold(model, x)
    assert set(_details(report).values()) == {"folded into Conv2D 'block/conv' before it"}
    assert [layer.name for layer in folded.get_layer("head").layers if "re_lu" not in layer.name][1:] == []
    _assert_equal(model, folded, x)


def test_what_can_not_be_folded_is_left_and_the_reason_is_said(scrambled: Scramble) -> None:
    given = keras.Input((4,))
    activated = layers.Dense(4, activation="relu", name="activated")(given)
    y = nk.BatchNormalization(name="behind_relu")(activated)
    y = layers.Activation("tanh")(y)
    used_twice = layers.Dense(4, name="used_twice")(y)
    y = nk.BatchNormalization(name="of_two")(used_twice) + used_twice
    shared = nk.BatchNormalization(name="shared")
    y = shared(layers.Dense(4)(y)) + shared(y)
    y = nk.BatchNormalization(name="broken")(layers.Dense(4)(y))
    y = layers.Reshape((2, 2))(y)
    y = layers.TimeDistributed(nk.BatchNormalization(name="inner"), name="wrapper")(y)
    y = nk.BatchNormalization(name="of_half", dtype="float16")(layers.Dense(2, name="float32")(y))
    model = scrambled(keras.Model(given, y))
    model.get_layer("broken").moving_variance.assign([1.0, -1.0, 1.0, 1.0])
    model.get_layer("broken").moving_mean.assign(np.zeros(4))
    folded, report = nk.fold(model, _random(3, 4))
    details = _details(report)
    assert not any(change.changed for change in report.changes)
    assert details["behind_relu"] == "the relu of Dense 'activated' comes between them"
    assert details["of_two"] == "the output of Dense 'used_twice' is used in 2 places"
    assert details["shared"] == "it is called 2 times"
    assert "channel 1 are the mean 0 and the variance -1; calibrate" in details["broken"]
    assert details["wrapper/inner"] == "it is within 'wrapper', a layer whose call can't be followed"
    assert details["of_half"] == "it gives float16, and Dense 'float32' float32"
    assert len(folded.layers) == len(model.layers)


def test_layers_with_code_of_their_own_are_left(scrambled: Scramble) -> None:
    class _Own(layers.Dense):
        def call(self, inputs: Any, training: Any = None) -> Any:
            return super().call(2 * inputs)

    model = scrambled(
        keras.Sequential(
            [keras.Input((4,)), _Own(3, name="own"), nk.BatchNormalization(), layers.Lambda(lambda x: 2 * x)]
        )
    )
    x = _random(3, 4)
    folded, report = nk.fold(model, x)
    assert report.changes[0].detail == "_Own 'own' may do anything in its call"
    _assert_equal(model, folded, x)


def test_a_pair_that_can_not_be_proven_is_left(monkeypatch: pytest.MonkeyPatch, scrambled: Scramble) -> None:
    from normwise.keras.surgery.fold import fold

    right = fold.into_outputs
    monkeypatch.setattr(
        fold, "into_outputs", lambda layer, weights, scale, shift: right(layer, weights, 1.01 * scale, shift)
    )
    model = scrambled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization(name="bn")])
    )
    folded, report = nk.fold(model, _random(3, 4))
    assert "the outputs differ by" in report.changes[0].detail
    assert len(folded.layers) == 2


def test_a_folded_model_is_saved_and_loads_without_normwise_s_layers(
    tmp_path: Any, scrambled: Scramble
) -> None:
    model = scrambled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization(activation="relu")])
    )
    model.compile("adam", loss=lambda y, p: (y - p) ** 2, jit_compile=False)
    x = _random(3, 4)
    folded, report = nk.fold(model, (x, None))
    assert model.compiled
    assert "normwise" not in folded.to_json()
    folded.save(tmp_path / "folded.keras")
    _assert_equal(model, keras.models.load_model(tmp_path / "folded.keras"), x)
    assert (
        str(report).splitlines()[-1].startswith("1 of 1 folded; largest relative difference of the outputs")
    )


def test_several_inputs_are_a_list_or_a_dictionary(scrambled: Scramble) -> None:
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    y = layers.Dense(3)(layers.add([one, two]))
    model = scrambled(keras.Model([one, two], nk.BatchNormalization()(y)))
    x = _random(5, 4)
    for example in ([x, 2 * x], {"one": x, "two": 2 * x}, ([x, 2 * x], None)):
        _, report = nk.fold(model, example)
        assert report.changes[0].changed


def test_a_subclassed_model_and_bad_input_get_a_clear_error(scrambled: Scramble) -> None:
    class _Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nk.BatchNormalization()

        def call(self, x: Any) -> Any:
            return self.bn(x)

    subclassed, x = _Subclassed(), _random(3, 4)
    subclassed(x)
    with pytest.raises(
        ModelError, match="_Subclassed has a call of its own, in which values can't be followed"
    ):
        nk.fold(subclassed, x)
    model = scrambled(keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization()]))
    with pytest.raises(ArgumentError, match="expected a positive number as tolerance, got 0"):
        nk.fold(model, x, tolerance=0)
    with pytest.raises(ModelError, match=r"^the model fails on the example: (?!Exception encountered)"):
        nk.fold(model, x[:, :2])
    with pytest.raises(ModelError, match="the folded model's outputs differ from the model's by"):
        nk.fold(model, x, tolerance=1e-12)


def test_a_model_that_is_folded_and_its_copy_both_predict_and_train(scrambled: Scramble) -> None:
    """JAX gives the memory of what it trains to others."""
    model = scrambled(
        keras.Sequential([keras.Input((4,)), layers.Dense(3), nk.BatchNormalization(), layers.Dense(1)])
    )
    x = np.random.default_rng(0).standard_normal((8, 4)).astype("float32")
    model.compile("sgd", "mse")
    folded, _ = nk.fold(model, x)
    before = folded.predict(x, verbose=0)
    model.fit(x, x[:, :1], verbose=0)
    np.testing.assert_array_equal(folded.predict(x, verbose=0), before)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_nan_proves_nothing(scrambled: Scramble) -> None:
    stack = [
        keras.Input((4,)),
        layers.Dense(3),
        nk.BatchNormalization(),
        layers.ReLU(),
        layers.Dense(2, name="last"),
    ]
    model = scrambled(keras.Sequential(stack))
    model.get_layer("last").bias.assign([np.nan, 0.0])
    with pytest.raises(ModelError, match="outputs on the example have NaN"):
        nk.fold(model, _random(2, 4))
