"""Runs in Keras: their folder, their outcome, what they can't do."""

import builtins
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from normwise.data import load_data
from normwise.errors import ArgumentError, MissingPackageError, ModelError, RunError
from normwise.keras.untyped import ops
from normwise.records import Point, RunConfig
from normwise.training import Processes, RunFolder, predict, train, trained_network
from normwise.training.keras.arrays import array_of
from normwise.training.keras.run_network import begin_with_vectors, keras_network
from tests.support.keras.marks import not_on_jax

Config = Callable[..., RunConfig]


def test_a_run_has_the_folder_and_the_records_of_one_in_torch(config: Config, tmp_path: Path) -> None:
    told: list[tuple[int, Point | None]] = []
    run = train(config(), tmp_path / "run", on_step=lambda step, loss, point: told.append((step, point)))
    names = {path.name for path in (tmp_path / "run").iterdir()} - {".lock"}
    assert names == {"run.json", "preparation.json", "metrics.jsonl", "checkpoint.safetensors", "timing.json"}
    assert run == RunFolder(tmp_path / "run").read()
    assert [point.step for point in run.points] == [0, 5, 10, 12]
    assert [point for _, point in told if point] == list(run.points[1:])
    assert run.points[-1].loss < run.points[1].loss < 2.3
    assert run.result is not None
    assert run.result.steps == 12
    assert run.result.test_accuracy == run.points[-1].test_accuracy
    # Each batch's own statistics are right from the first step on, and the moving ones begin at 0 and 1.
    assert run.result.batch_statistics_accuracy is not None
    assert run.result.batch_statistics_accuracy > 0.6
    assert run.config.framework == "keras"
    assert run.threads is None
    assert str(run.kernels).startswith(f"Keras {keras.__version__}, {keras.backend.backend()} ")


@not_on_jax
@pytest.mark.parametrize("clip", [None, 0.01])
def test_gradients_are_clipped_to_the_norm_of_all_together(
    clip: float | None, config: Config, tmp_path: Path
) -> None:
    run = config(steps=1, optimizer="sgd", lr=1.0, clip=clip, norm="none")
    train(run, tmp_path / "none", checkpoint_seconds=0)
    begun = keras_network(run, RunFolder(tmp_path / "none").input_spec())
    after = load_file(tmp_path / "none" / "checkpoint.safetensors")
    moved = [after[f"model.{w.path}"] - ops.convert_to_numpy(w) for w in begun.trainable_weights]
    length = np.sqrt(sum(float(np.square(each.astype("float64")).sum()) for each in moved))
    assert length > 0.1 if clip is None else length == pytest.approx(clip, rel=1e-3)


def test_a_run_that_diverges_says_so(config: Config, tmp_path: Path) -> None:
    run = train(config(lr=1e25, norm="none", steps=30), tmp_path / "run")
    assert run.result is not None
    assert run.result.diverged
    assert run.result.steps < 30
    assert run.result.batch_statistics_accuracy is None


@not_on_jax
def test_weights_that_the_last_step_ruins_count_as_divergence(config: Config, tmp_path: Path) -> None:
    run = train(config(lr=1e30, norm="none", steps=1), tmp_path / "run")
    assert run.result is not None
    assert run.result.diverged


@pytest.mark.parametrize(
    ("task", "data", "model", "options"),
    [
        ("speech", "tones", "speech_lstm", {}),
        pytest.param("text", "phrases", "sentiment_bilstm", {"width": 4}, marks=not_on_jax),
    ],
)
def test_sequences_are_trained_and_predicted(
    task: Any, data: str, model: str, options: dict[str, Any], config: Config, tmp_path: Path
) -> None:
    run = train(
        config(task=task, data=data, model=model, options=options, optimizer="adam", lr=0.01, steps=2,
               batch_size=32, train_samples=64, test_samples=20),
        tmp_path / "run",
    )  # fmt: skip
    assert run.result is not None
    assert not run.result.diverged
    if task == "text":
        texts = ["the film is good", "dull"]
        together, alone = predict(tmp_path / "run", texts), predict(tmp_path / "run", texts[1:])
        assert together[1:] == alone
        assert set(together[0].probabilities) == {"negative", "positive"}
        assert sum(together[0].probabilities.values()) == pytest.approx(1)


def test_predictions_are_those_of_the_trained_network(config: Config, tmp_path: Path) -> None:
    run = train(config(options={"momentum": 0.5}), tmp_path / "run")
    data: Any = load_data("image", "digits")
    paths = [str(tmp_path / f"{number}.png") for number in range(30)]
    for path, image in zip(paths, data.test.images, strict=False):
        Image.fromarray((image[0].numpy() * 255).round().astype("uint8")).save(path)
    found = predict(tmp_path / "run", paths)
    right = [one.label == data.classes[label] for one, label in zip(found, data.test.labels, strict=False)]
    assert run.result is not None
    assert abs(np.mean(right) - run.result.test_accuracy) < 0.15
    assert np.mean(right) > 0.6


@not_on_jax
@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"dtype": "float64"}, ArgumentError, "a run in Keras has the dtype float32, got float64"),
        ({"measures": ("bias_gradient",)}, ArgumentError, "measures are for runs in torch, got bias_gradient"),
        ({"statistics": "local"}, ArgumentError, "a run in Keras has one"),
        ({"model": "resnet"}, ModelError, "unknown model 'resnet' for image in Keras"),
        ({"norm": "instance"}, ModelError, "unknown norm 'instance'"),
        ({"options": {"logits": False}}, ArgumentError, "logits is not an option"),
        ({"lr": 0.0}, ArgumentError, "lr must be a positive number"),
        ({"optimizer": "adamw"}, ArgumentError, "optimizer 'adamw' is for runs in torch"),
        ({"batch_size": 300}, ArgumentError, "batch_size=300 must be from 1 to the 200 samples"),
    ],
)  # fmt: skip
def test_what_a_run_in_keras_can_not_do_is_an_error_that_leaves_no_folder(
    changes: dict[str, Any], error: type[Exception], said: str, config: Config, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        train(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_threads_and_processes_are_for_runs_in_torch(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="threads are for runs in torch"):
        train(config(), tmp_path / "run", threads=1)
    processes: Any = object.__new__(Processes)
    with pytest.raises(ArgumentError, match="trained in one process"):
        train(config(), tmp_path / "run", processes=processes)


def test_without_keras_the_error_names_what_to_install(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'normwise\[keras\]'"):
        train(config(), tmp_path / "run")


def test_without_its_backend_the_error_names_the_variable(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_tensorflow(name: str, *rest: Any) -> Any:
        if name == "keras":
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_tensorflow)
    with pytest.raises(MissingPackageError, match=r"because tensorflow is not installed: .* KERAS_BACKEND"):
        train(config(), tmp_path / "run")


@not_on_jax
def test_operations_on_networks_in_torch_refuse_a_run_in_keras(config: Config, tmp_path: Path) -> None:
    run = train(config(steps=1), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match="holds a run in Keras, and this takes one in torch"):
        trained_network(folder, run, folder.input_spec())


@not_on_jax
def test_a_run_in_torch_is_another_configuration(config: Config, tmp_path: Path) -> None:
    train(config(steps=1), tmp_path / "run")
    with pytest.raises(RunError, match="framework is 'keras', not 'torch'"):
        train(replace(config(steps=1), framework="torch"), tmp_path / "run")


def test_word_vectors_begin_the_embedding_where_the_data_have_them(tmp_path: Path, config: Config) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("film 1 2 3\nunheard 4 5 6\ndull 7 8 9\n", encoding="utf-8")
    data: Any = load_data("text", "phrases", vectors=str(vectors))
    asked = config(task="text", data="phrases", model="sentiment_bilstm", options={"width": 3})
    network = keras_network(asked, data.input_spec)
    before = ops.convert_to_numpy(network.get_layer("embedding").embeddings).copy()
    begin_with_vectors(network, data)
    after = ops.convert_to_numpy(network.get_layer("embedding").embeddings)
    words = data.input_spec.vocabulary
    assert after[words.index("film")].tolist() == [1, 2, 3]
    changed = {words[number] for number in np.flatnonzero((before != after).any(1))}
    assert changed == {"film", "dull"}
    with pytest.raises(ModelError, match="have 3 dimensions, but the network's have 5; give it width=3"):
        begin_with_vectors(keras_network(replace(asked, options={"width": 5}), data.input_spec), data)


def test_batches_are_channels_last_and_padded() -> None:
    images = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert array_of({"images": images})[0, 2, 3].tolist() == images[0, :, 2, 3].tolist()
    tokens = array_of({"sequences": torch.tensor([[3, 4]]), "lengths": torch.tensor([2])})
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [[3, 4] + [0] * 30]
    assert array_of({"sequences": torch.ones(1, 33, 2), "lengths": torch.tensor([33])}).shape == (1, 64, 2)
