"""Models whose ``trainable`` was changed behind the back of a compiled step, and ``training=`` in functional calls."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from normwise.keras import diagnose
from normwise.keras.doctor.facts.model.wired_training import wired_training_holds
from normwise.keras.untyped import ops
from tests.keras.doctor.small_models import dense, norm, samples, trained
from tests.support.keras.xla import FASTER

_BACKEND = keras.backend.backend()


def _fitted() -> tuple[Any, Any]:
    model = dense(norm(), L.ReLU())
    model.compile("sgd", "mse", jit_compile=FASTER)
    model.fit(samples(64, 4), samples(64, 3), verbose=0, epochs=4)
    return model, model.get_layer("norm")


def _codes(model: Any, *data: Any) -> list[str]:
    return [finding.code for finding in diagnose(model, *data, ignore=["BN2", "BN403"]).findings]


def test_freezing_without_compile_is_found_where_the_step_is_compiled() -> None:
    model, layer = _fitted()
    assert _codes(model) == []
    layer.trainable = False
    assert _codes(model) == ([] if _BACKEND == "torch" else ["BN303"])
    model.compile("sgd", "mse", jit_compile=FASTER)
    assert _codes(model) == []


@pytest.mark.skipif(_BACKEND != "tensorflow", reason="JAX raises an error, and torch compiles nothing")
def test_the_step_of_tensorflow_moves_what_was_frozen_since() -> None:
    model, layer = _fitted()
    layer.trainable = False
    before = np.array(ops.convert_to_numpy(layer.moving_mean))
    model.fit(samples(64, 4, seed=1), samples(64, 3), verbose=0)
    assert not np.array_equal(before, ops.convert_to_numpy(layer.moving_mean))


def test_a_layer_that_was_made_trainable_without_compile_is_found() -> None:
    model = dense(norm(), L.ReLU())
    layer = model.get_layer("norm")
    trained(model, samples(64, 4))
    layer.trainable = False
    model.compile("sgd", "mse", jit_compile=FASTER)
    model.fit(samples(64, 4), samples(64, 3), verbose=0)
    layer.trainable = True
    assert _codes(model) == ["BN302"]


@pytest.mark.skipif(wired_training_holds(), reason="this release of Keras keeps what is wired")
@pytest.mark.parametrize("given", [False, True], ids=["without data", "with data"])
def test_statistics_that_fit_moves_although_training_is_false_in_the_call(given: bool) -> None:
    inputs = keras.Input((4,))
    hidden = norm()(L.Dense(8, use_bias=False)(inputs), training=False)
    model: Any = keras.Model(inputs, L.Dense(3)(hidden))
    x = samples(64, 4)
    trained(model, x)
    model.compile("sgd", "mse", jit_compile=FASTER)
    data = [[x]] if given else []
    assert _codes(model, *data) == ["BN303"]
    layer = model.get_layer("norm")
    before = np.array(ops.convert_to_numpy(layer.moving_mean))
    model.fit(samples(64, 4, seed=1), samples(64, 3), verbose=0)
    assert not np.array_equal(before, ops.convert_to_numpy(layer.moving_mean))
    layer.trainable = False
    model.compile("sgd", "mse")
    assert _codes(model, *data) == []


def test_asking_for_the_wiring_counts_no_names() -> None:
    wired_training_holds.__wrapped__()
    first: Any = keras.Input((1,))
    wired_training_holds.__wrapped__()
    second: Any = keras.Input((1,))
    names = [tensor._keras_history.operation.name for tensor in (first, second)]
    numbers = [int(name.rpartition("_")[2]) if name[-1].isdigit() else 0 for name in names]
    assert numbers[1] == numbers[0] + 1


def test_momentum_of_torch_is_named_with_the_right_one() -> None:
    model = dense(norm(momentum=0.1), L.ReLU())
    (finding,) = diagnose(model, select=["BN205"]).findings
    assert "the intended average needs momentum=0.9" in finding.message
    assert diagnose(dense(norm(momentum=0.0)), select=["BN205"]).findings == ()
    assert diagnose(dense(norm(momentum=None)), select=["BN205"]).findings == ()


def test_too_few_steps_are_told_by_the_optimizers() -> None:
    x = 3 * samples(64, 4) + 2
    model = dense(norm(momentum=0.99), L.ReLU())
    model.compile("sgd", "mse", jit_compile=FASTER)
    model.fit(x, samples(64, 3), verbose=0, epochs=3)
    findings = diagnose(model, x).findings
    (finding,) = [each for each in findings if each.code == "BN201"]
    assert "momentum=0.99 after 6 steps keeps 94% of the initial statistics" in finding.message
