"""Data of all kinds, settings of the diagnosis, and errors."""

import json
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from normwise.errors import ArgumentError, DataError, ModelError
from normwise.keras import diagnose
from normwise.keras.untyped import ops
from normwise.records import to_json
from tests.keras.doctor.planted.statistics import stale_statistics
from tests.keras.doctor.small_models import dense, norm, samples, trained


class _Batches(keras.utils.PyDataset):
    def __init__(self, x: Any, y: Any) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return self.x[32 * index : 32 * (index + 1)], self.y[32 * index : 32 * (index + 1)]


def _data(kind: str) -> Any:
    x, y = samples(64, 4), np.arange(64) % 3
    if kind == "arrays":
        return x, y
    if kind == "tensors":
        return ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    if kind == "list":
        return [(x[:32], y[:32]), (x[32:], y[32:])]
    if kind == "generator":
        return (batch for batch in [(x[:32], y[:32]), (x[32:], y[32:])])
    if kind == "PyDataset":
        return _Batches(x, y)
    if kind == "tf.data":
        tf = pytest.importorskip("tensorflow")
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return torch.utils.data.DataLoader(data, batch_size=32)


@pytest.fixture(scope="module")
def model() -> Any:
    return trained(dense(norm(), L.ReLU()), samples(64, 4))


@pytest.mark.parametrize(
    "kind", ["arrays", "tensors", "list", "generator", "PyDataset", "tf.data", "DataLoader"]
)
def test_all_kinds_of_data_are_the_same_batches(model: Any, kind: str) -> None:
    examination = diagnose(model, _data(kind)).examination
    assert examination.batches == 2
    assert examination.findings == ()
    assert examination.running.accuracy == pytest.approx(
        diagnose(model, _data("list")).examination.running.accuracy
    )


def test_exact_statistics_are_those_of_the_oracle(model: Any) -> None:
    x = samples(64, 4)
    (layer,) = diagnose(model, [x[:32], x[32:]]).examination.layers
    weights = np.asarray(ops.convert_to_numpy(model.get_layer("first").kernel), np.float64)
    hidden = x.astype(np.float64) @ weights
    assert layer.values == 32
    assert layer.input_mean == pytest.approx(np.sqrt(np.mean(hidden.mean(0) ** 2)), rel=1e-4)
    assert layer.input_deviation == pytest.approx(np.sqrt(hidden.var(0).mean()), rel=1e-4)


def test_the_compiled_loss_is_measured_and_a_given_one_wins(model: Any) -> None:
    x, y = samples(64, 4), samples(64, 3, seed=1)
    outputs = np.asarray(ops.convert_to_numpy(model(x)), np.float64)
    assert diagnose(model, (x, y), loss="mae").examination.running.loss == pytest.approx(
        np.abs(outputs - y).mean(), rel=1e-4
    )
    model.compile("sgd", "mse")
    assert diagnose(model, (x, y)).examination.running.loss == pytest.approx(
        np.square(outputs - y).mean(), rel=1e-4
    )


def test_rules_are_selected_ignored_and_judged_otherwise() -> None:
    case = stale_statistics()
    assert diagnose(case.model, case.data, select=["BN4"]).examination.checked == (
        "BN401", "BN403", "BN405", "BN406", "BN407",
    )  # fmt: skip
    assert diagnose(case.model, case.data, ignore=["stale-statistics"]).is_healthy
    assert diagnose(case.model, case.data, severities={"BN201": "info"}).is_healthy


def test_without_data_the_rules_that_need_them_are_named(model: Any) -> None:
    diagnosis = diagnose(model)
    assert diagnosis.examination.skipped["BN201"] == "they need data"
    assert diagnosis.examination.layers[0].path == "norm"
    assert json.loads(to_json(diagnosis.examination))["batches"] == 0


def test_a_layer_in_a_nested_model_is_named_by_its_path() -> None:
    inner = dense(norm(momentum=0.1), L.ReLU())
    model = keras.Sequential([keras.Input((4,)), inner, L.Dense(3)])
    (finding,) = diagnose(model).findings
    assert finding.symptoms[0].path == f"{inner.name}/norm"
    fix = finding.fix.splitlines()[:2]
    exec("\n".join(fix), {"model": model})
    assert inner.get_layer("norm").momentum == pytest.approx(0.9)


def _fails() -> Any:
    yield samples(8, 4)
    raise OSError("the disk is gone")


@pytest.mark.parametrize(
    ("data", "settings", "error", "says"),
    [
        (7, {}, ArgumentError, "data is of type int; expected arrays"),
        ([], {}, ArgumentError, "the data have no batches"),
        (_fails(), {}, DataError, "the data raise OSError at batch 1 .*the disk is gone"),
        (samples(8, 5), {}, ModelError, "the model fails on its data.*: ValueError: Input .*"),
        ((samples(8, 4), samples(7, 3)), {}, ArgumentError, "the arrays have 7, 8 samples"),
        (samples(8, 4), {"loss": "nothing"}, ArgumentError, "loss='nothing' is not a loss"),
        (samples(8, 4), {"select": ["BN9"]}, ArgumentError, "there is no rule 'BN9' for Keras models"),
        (samples(8, 4), {"max_batches": 0}, ArgumentError, "max_batches must be at least 1"),
        (samples(8, 4), {"severities": {"BN201": "bad"}}, ArgumentError, "'bad' is not a severity"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(model: Any, data: Any, settings: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        diagnose(model, data, **settings)
    assert all("call" not in vars(layer) for layer in model.layers)


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        (keras.Sequential([keras.Input((4,)), L.Dense(3)]), None, "there is no BN layer in Sequential"),
        (keras.Sequential([L.Dense(3), norm()]), samples(8, 4), "Sequential has no weights yet"),
    ],
)
def test_a_model_that_can_not_be_examined_is_an_error(model: Any, data: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        diagnose(model, data)


def test_what_is_no_model_is_an_error() -> None:
    with pytest.raises(ArgumentError, match=r"model is of type str; expected a keras.Model"):
        diagnose("net")


def test_a_fix_that_is_not_proven_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    case = stale_statistics()
    diagnosis = diagnose(case.model, case.data)
    before = np.array(ops.convert_to_numpy(case.model.get_layer("norm").moving_mean))
    monkeypatch.setattr("normwise.keras.doctor.treat.faults_of", lambda *_: ["the loss is greater"])
    treatment = diagnosis.fix()
    assert not treatment.proven
    assert treatment.reason == "the loss is greater"
    after = ops.convert_to_numpy(case.model.get_layer("norm").moving_mean)
    assert np.array_equal(before, after)


@pytest.mark.parametrize(("batch_size", "found"), [(16, True), (None, False)])
def test_batches_of_a_size_that_was_chosen_are_judged(batch_size: int | None, found: bool) -> None:
    """33 samples in batches of 16 leave one, and 32, which `fit` takes, is nobody's choice."""
    x, y = samples(33, 4), samples(33, 3)
    model = trained(dense(norm(), L.ReLU()), x)
    diagnosis = diagnose(model, (x, y), batch_size=batch_size, loss="mse")
    assert ("BN501" in [finding.code for finding in diagnosis.findings]) == found


def test_values_whose_squares_are_beyond_float32_are_examined_without_a_warning(model: Any) -> None:
    x = samples(64, 4) * np.float32(1e25)
    diagnosis = diagnose(model, (x, samples(64, 3)), loss="mae")
    assert "BN201" in [finding.code for finding in diagnosis.findings]
