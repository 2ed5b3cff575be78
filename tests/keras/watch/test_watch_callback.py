"""A watched training: it is not changed, its recording lasts, and what can't be recorded is refused."""

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import normwise.keras as nk
from normwise.errors import ArgumentError, ModelError, RunError
from normwise.keras.surgery.arrays import double
from normwise.keras.surgery.batch_norms import layers_of
from normwise.recordings.recording_folder import RecordingFolder
from tests.keras.watch.watched_model import KINDS, X, Y, fit, recording_of, watched_model
from tests.support.keras.marks import not_on_jax
from tests.support.keras.xla import FASTER


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_the_training_is_the_same_bit_for_bit(kind: Any) -> None:
    plain, watched = watched_model(kind, dropout=0.5), watched_model(kind, dropout=0.5)

    def trained(model: Any, *callbacks: Any) -> Any:
        keras.utils.set_random_seed(2)
        history = fit(model, *callbacks).history
        state: Any = np.random.get_state()  # noqa: NPY002
        return history, random.getstate(), state[1].tolist()

    assert trained(watched, nk.WatchCallback((X, Y), every=2, batch_size=16)) == trained(plain)
    for ours, theirs in ((plain, watched), (plain.optimizer, watched.optimizer)):
        for want, got in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(double(got), double(want))
    assert all("call" not in vars(layer) for layer in layers_of(watched).values())


def test_a_pass_that_fails_leaves_the_model_as_it_was() -> None:
    class Fails(layers.Layer):
        def call(self, inputs: Any, training: bool = False) -> Any:
            return inputs

    fails: Any = Fails()
    model: Any = keras.Sequential(
        [keras.Input((6,)), layers.Dropout(0.5), layers.BatchNormalization(), fails, layers.Dense(1)]
    )
    model.compile("sgd", "mse", jit_compile=FASTER)
    fit(model, epochs=1)
    weights, seeds = model.get_weights(), [double(variable) for variable in model.variables]

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    watch = nk.WatchCallback(X)
    fails.__dict__["call"] = fail
    with pytest.raises(
        ModelError, match="the model fails on a batch of the data of WatchCallback: RuntimeError"
    ):
        fit(model, watch)
    del fails.__dict__["call"]
    for want, got in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    for want, got in zip(seeds, model.variables, strict=True):
        np.testing.assert_array_equal(double(got), want)
    assert all("call" not in vars(layer) for layer in layers_of(model).values())
    assert recording_of(watch).points == ()


def test_after_an_exception_in_fit_the_records_stay_and_a_new_training_begins_anew(tmp_path: Path) -> None:
    class Stops(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                raise KeyboardInterrupt

    model, watch = watched_model(), nk.WatchCallback(X, every=2, to=tmp_path / "watched")
    with pytest.raises(KeyboardInterrupt):
        fit(model, watch, Stops())
    assert [point.step for point in recording_of(watch).points] == [0, 2]
    assert RecordingFolder(tmp_path / "watched").read() == recording_of(watch)
    with pytest.raises(RunError, match="already holds a recording"):
        fit(model, watch)


@not_on_jax
def test_records_are_printed_shown_and_read_from_their_folder(tmp_path: Path) -> None:
    watch = nk.WatchCallback(X, every=5, to=tmp_path)
    fit(watched_model(), watch)
    recording = recording_of(watch)
    assert RecordingFolder(tmp_path).read() == recording
    assert recording.framework == "keras"
    assert str(recording).startswith(
        "layers: 2, records: 3, interval: 5 steps; in the last, at step 10:\nfirst: "
    )
    assert "second" in recording.to_html()


@not_on_jax
def test_steps_are_counted_over_epochs() -> None:
    watch = nk.WatchCallback(X, every=4)
    fit(watched_model(), watch, epochs=3)
    assert [point.step for point in recording_of(watch).points] == [0, 4, 8, 12, 16]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="torch has none, and JAX compiles each run anew"
)
def test_several_steps_in_one_execution_are_counted() -> None:
    model, watch = watched_model(), nk.WatchCallback(X, every=4)
    model.compile("sgd", "mse", jit_compile=FASTER, steps_per_execution=3)
    fit(model, watch, epochs=2)
    assert [point.step for point in recording_of(watch).points] == [0, 6, 9]


@not_on_jax
def test_batches_may_come_from_a_data_set_of_keras_or_a_function() -> None:
    class Ours(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return X[index : index + 8], Y[index : index + 8]

    for data in (Ours(), lambda: iter([(X[:8], Y[:8])])):
        watch = nk.WatchCallback(data, every=3)
        fit(watched_model(), watch, epochs=1)
        assert [point.layers["first"].samples for point in recording_of(watch).points] == [8, 8]


@not_on_jax
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nk.WatchCallback(X, every=0), "a number of steps from 1 on as every, got 0"),
        (lambda: nk.WatchCallback(X, batch_size=0), "batch_size must be a whole number, at least 1, got 0"),
        (lambda: nk.WatchCallback(iter([X])), "can be read only once, and a training is longer"),
        (lambda: fit(watched_model(), nk.WatchCallback([])), "the data of WatchCallback have no batches"),
        (lambda: fit(watched_model(), nk.WatchCallback(X[:0])), "the data of WatchCallback have no batches"),
        (lambda: fit(watched_model(), nk.WatchCallback("x")), "expected batches as data, got str"),
        (lambda: fit(watched_model(), nk.WatchCallback(X, units={"third": [0]})), "those are 'first', 'second'"),
        (lambda: fit(watched_model(), nk.WatchCallback(X, to=3)), "to=3 is not a destination for a recording"),
        (lambda: fit(watched_model(layers.LayerNormalization), nk.WatchCallback(X)), "no batch normalization layer"),
    ],
)  # fmt: skip
def test_what_can_not_be_recorded_is_an_error_before_the_first_step(make: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        make()
