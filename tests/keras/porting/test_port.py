"""Settings, Bessel's correction, ways to find counterparts, examples, and what stays as it was."""

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normwise as nw
from normwise.errors import ArgumentError, ModelError
from normwise.keras import BatchNormalization
from normwise.records import Porting, from_plain, to_plain
from tests.keras.porting.port_cases import NOT_ON_JAX

L = keras.layers


def _mlp() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential()
    for name, layer in (
        ("hidden", nn.Linear(4, 5)),
        ("norm", nn.BatchNorm1d(5)),
        ("relu", nn.ReLU()),
        ("out", nn.Linear(5, 5)),
    ):
        model.add_module(name, layer)
    for _ in range(3):
        model(torch.randn(16, 4) * 3 + 1)
    return model


def _keras_mlp(**norm: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(5, name="hidden"),
            BatchNormalization(name="norm", **norm),
            L.ReLU(),
            L.Dense(5, name="out"),
        ]
    )


def _variance(model: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(model.get_layer("norm").moving_variance))


def _outputs(model: Any, x: Tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(model(x.numpy(), training=False)))


def test_eps_and_momentum_become_the_targets() -> None:
    target = _keras_mlp()
    report = nw.port(_mlp(), target)
    norm = target.get_layer("norm")
    assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)
    assert "norm -> norm (batch_norm): outputs differ by" in str(report)
    assert "ε 0.001 became 1e-05, momentum 0.99 became 0.9" in str(report)
    back = nn.Sequential(
        nn.Linear(4, 5), nn.BatchNorm1d(5, eps=0.1, momentum=0.5), nn.ReLU(), nn.Linear(5, 5)
    )
    nw.port(target, back)
    assert (back[1].eps, back[1].momentum) == (1e-5, 0.1)


def test_a_compiled_model_predicts_with_the_new_eps() -> None:
    source, target = _mlp(), _keras_mlp(epsilon=2.0)
    x = torch.randn(6, 4)
    target.compile(jit_compile=False)
    target.predict(x.numpy(), verbose=0)
    nw.port(source, target)
    with torch.no_grad():
        np.testing.assert_allclose(
            target.predict(x.numpy(), verbose=0), source.eval()(x), rtol=1e-4, atol=1e-5
        )


def test_the_variance_is_left_as_it_is_and_the_report_says_so() -> None:
    source, target = _mlp(), _keras_mlp()
    report = nw.port(source, target)
    np.testing.assert_array_equal(_variance(target), source.state_dict()["norm.running_var"])
    assert "the variance of norm is left with Bessel's correction" in str(report)


@pytest.mark.parametrize(
    "said", [{"values_per_channel": 16}, {"values_per_channel": {"norm": 16}}, {"batch_size": 16}]
)
def test_bessels_correction_is_taken_from_the_variance_and_given_back(said: dict[str, Any]) -> None:
    source, target, back = _mlp(), _keras_mlp(), _mlp()
    expected = source.state_dict()["norm.running_var"]
    report = nw.port(source, target, **said)
    np.testing.assert_allclose(_variance(target), expected * 15 / 16, rtol=1e-6)
    assert "variance times 0.9375" in str(report)
    assert "the corrected variances move the outputs" in str(report)
    assert "variance times 1.06667" in str(nw.port(target, back, **said))
    torch.testing.assert_close(back.state_dict()["norm.running_var"], expected)


def test_the_moving_variance_is_that_of_a_keras_layer_trained_on_the_same_batch() -> None:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    source = nn.Sequential(nn.BatchNorm1d(4, momentum=0.25))
    source(x)
    trained = keras.Sequential([keras.Input((4,)), L.BatchNormalization(momentum=0.75, name="norm")])
    trained(x.numpy(), training=True)
    # The initial variance of 1 has no correction, which is a quarter of the difference each batch.
    variance = source.get_buffer("0.running_var")
    variance.copy_((variance - 0.75) / 0.25)
    target = keras.Sequential([keras.Input((4,)), L.BatchNormalization(name="norm")])
    nw.port(source, target, values_per_channel=16)
    np.testing.assert_allclose(_variance(target) * 0.25 + 0.75, _variance(trained), rtol=1e-5)


def test_our_layer_with_an_unbiased_variance_takes_it_as_it_is() -> None:
    source, target = _mlp(), _keras_mlp(unbiased_moving_variance=True)
    report = nw.port(source, target, values_per_channel=16)
    np.testing.assert_array_equal(_variance(target), source.state_dict()["norm.running_var"])
    assert not report.notes


def test_momentum_none_needs_our_layer() -> None:
    source = _mlp()
    vars(source.get_submodule("norm"))["momentum"] = None
    target = _keras_mlp(momentum=None)
    nw.port(source, target)
    assert int(target.get_layer("norm").batches) == 3
    assert "'norm' keeps its momentum of 0.99" in str(nw.port(source, _keras_mlp()))


def test_layers_are_found_by_name_whatever_their_order() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.hidden, self.norm = nn.Linear(5, 5), nn.Linear(4, 5), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.norm(self.hidden(x))))

    for by in ("name", "order", {"out": "out", "hidden": "hidden", "norm": "norm"}):
        report = nw.port(Net(), _keras_mlp(), by=by)
        assert [layer.target for layer in report.layers if layer.source == "out"] == ["out"]


@pytest.mark.parametrize(
    ("by", "error", "said"),
    [
        ("name", ModelError, r"no layer of the name of '0' \(Linear\).*by='order' or a mapping"),
        ({"0": "hidden"}, ModelError, r"by leaves out '1' \(BatchNorm1d\), '3' \(Linear\) of the source"),
        ({"first": "hidden"}, ArgumentError, "by names 'first', which the source has not; it has 0, 1, 3"),
    ],
)
def test_a_layer_without_a_counterpart_is_named(by: Any, error: type[Exception], said: str) -> None:
    source = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 5))
    with pytest.raises(error, match=said):
        nw.port(source, _keras_mlp(), by=by)


def test_a_state_dict_is_moved_by_name_and_said_not_to_be_proven() -> None:
    source, target = _mlp().eval(), _keras_mlp(epsilon=1e-5)
    report = nw.port(source.state_dict(), target)
    assert "not proven: a state dict can't be evaluated" in str(report)
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected = source(x).numpy()
    np.testing.assert_allclose(_outputs(target, x), expected, rtol=1e-4, atol=1e-5)


def test_a_state_dict_says_no_epsilon() -> None:
    target = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="0")])
    report = nw.port(torch.nn.Sequential(torch.nn.BatchNorm1d(3)).state_dict(), target)
    assert any("the Keras layers keep theirs, ε = 0.001" in note for note in report.notes)


def test_a_state_dict_is_permuted_behind_a_flatten_too() -> None:
    source = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(48, 3))
    target = keras.Sequential([keras.Input((5, 6, 2)), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)])
    nw.port(source.state_dict(), target, by="order")
    x = torch.randn(2, 2, 5, 6)
    with torch.no_grad():
        np.testing.assert_allclose(
            _outputs(target, x.movedim(1, -1)), source(x).numpy(), rtol=1e-4, atol=1e-5
        )


def test_a_keras_model_with_mean_and_variance_swapped_is_named() -> None:
    source = _keras_mlp()
    gamma, beta, _, _ = source.get_layer("norm").get_weights()
    source.get_layer("norm").set_weights([gamma, beta, np.full(5, 2.0), np.linspace(-1, 3, 5)])
    with pytest.raises(
        ModelError, match=r"'norm' \(BatchNormalization\): its running variance .* the two are swapped"
    ):
        nw.port(source, _mlp())


def test_models_stay_as_they_were_but_for_weights() -> None:
    source, target = _mlp().train(), _keras_mlp()
    target.get_layer("norm").trainable = False
    before = {name: value.clone() for name, value in source.state_dict().items()}
    state = torch.get_rng_state()
    nw.port(source, target)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in source.modules())
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    assert not target.get_layer("norm").trainable
    assert not any("call" in vars(layer) for layer in target.layers)


def test_a_subclassed_model_is_moved_with_an_example() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.norm, self.out = L.Dense(5), L.BatchNormalization(), L.Dense(5)

        def call(self, x: Any) -> Any:
            return self.out(keras.ops.relu(self.norm(self.hidden(x))))

    target, x = Net(), torch.randn(3, 4)
    target(x.numpy())
    with pytest.raises(ArgumentError, match="the Keras model does not say which inputs it takes"):
        nw.port(_mlp(), target)
    assert nw.port(_mlp(), target, example=x).output_error < 1e-5


@NOT_ON_JAX
def test_padding_of_sequences_is_left_out_of_the_comparison() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.norm = nw.nn.SequenceBatchNorm(4, batch_first=True)
            self.last = nn.GRU(4, 2, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            hidden, _ = nn.utils.rnn.pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, total_length=x.shape[1]
            )
            normed = self.norm(hidden, lengths)
            packed = nn.utils.rnn.pack_padded_sequence(
                normed, lengths, batch_first=True, enforce_sorted=False
            )
            return self.last(packed)[1][0]

    target = keras.Sequential(
        [
            keras.Input((None, 3)),
            L.Masking(),
            L.LSTM(4, return_sequences=True),
            L.BatchNormalization(),
            L.GRU(2),
        ]
    )
    x, lengths = torch.randn(3, 5, 3), torch.tensor([5, 2, 3])
    x[torch.arange(5) >= lengths[:, None]] = 0
    report = nw.port(Net(), target, example=(x, lengths), target_example=x)
    assert [layer.kind for layer in report.layers] == ["lstm", "batch_norm", "gru"]
    assert max(layer.output_error for layer in report.layers) < 1e-5


@NOT_ON_JAX
def test_a_stateful_layer_begins_anew_and_keeps_its_state() -> None:
    layer: Any = L.LSTM(4, stateful=True)
    target = keras.Sequential([keras.Input((5, 3), batch_size=2), layer])
    x = torch.randn(2, 5, 3)
    nw.port(nn.LSTM(3, 4, batch_first=True), target, example=x)
    assert not np.any(keras.ops.convert_to_numpy(layer.states[0]))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="on a CPU TensorFlow has no such convolution")
@pytest.mark.parametrize("flatten", ["channels_first", "channels_last"])
def test_keras_may_have_channels_first_too(flatten: str) -> None:
    source = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(48, 3))
    layers = [
        L.Conv2D(4, 3, data_format="channels_first"),
        L.BatchNormalization(axis=1),
        L.Flatten(flatten),
        L.Dense(3),
    ]
    target = keras.Sequential([keras.Input((2, 5, 6)), *layers])
    assert nw.port(source, target).output_error < 1e-5
    assert nw.port(target, source, example=torch.randn(2, 2, 5, 6).numpy()).output_error < 1e-5


def test_a_report_is_a_record() -> None:
    report = nw.port(_mlp(), _keras_mlp())
    assert from_plain(Porting, to_plain(report)) == report
