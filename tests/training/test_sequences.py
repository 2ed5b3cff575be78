"""Runs on speech and text: what they measure, that they resume to the byte, and what their networks predict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from normwise.data import load_data
from normwise.errors import ArgumentError, DataError, RunError
from normwise.records import Point, RunConfig
from normwise.training import predict, train
from normwise.training.evaluate import loss_and_accuracy, loss_of, predicted

_SAME = ("run.json", "preparation.json", "metrics.jsonl", "checkpoint.safetensors")


def _speech(**changes: Any) -> RunConfig:
    fields: dict[str, Any] = {
        "task": "speech",
        "model": "speech_lstm",
        "data": "tones",
        "norm": "batch",
        "steps": 4,
        "batch_size": 20,
        "lr": 0.01,
        "seed": 0,
        "eval_every": 4,
        "optimizer": "adam",
        "train_samples": 60,
        "test_samples": 20,
        "clip": 1.0,
    }
    return RunConfig(**(fields | changes))


def _text(**changes: Any) -> RunConfig:
    fields = {"task": "text", "model": "sentiment_bilstm", "data": "phrases", "options": {"width": 10}}
    return _speech(**(fields | changes))


@pytest.fixture
def config(request: pytest.FixtureRequest) -> RunConfig:
    return request.param


@pytest.mark.parametrize(
    "config",
    [
        _speech(),
        _speech(norm="recurrent_batch", options={"max_length": 5}, data_options={"split": "speaker"}),
        _text(),
        _text(model="text_transformer", norm="layer", options={"width": 12, "heads": 2, "depth": 1}),
    ],
    ids=["speech", "recurrent", "text", "transformer"],
)
def test_a_run_that_was_interrupted_ends_with_the_same_bytes(config: RunConfig, tmp_path: Path) -> None:
    train(config, tmp_path / "unbroken")

    def stop(step: int, loss: float, point: Point | None) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", checkpoint_seconds=0, on_step=stop)
    train(config, tmp_path / "broken", resume=True)
    for name in _SAME:
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()


def test_training_draws_what_the_seed_and_the_step_say_and_leaves_the_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train(_text(), tmp_path / "first")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert train(_text(), tmp_path / "second").points == first.points
    assert train(_text(seed=1), tmp_path / "third").points != first.points


def test_gradients_are_scaled_down_to_the_norm_asked_for(tmp_path: Path) -> None:
    free, clipped = (
        train(_speech(optimizer="sgd", steps=1, eval_every=1, clip=clip), tmp_path / str(clip)).points[-1]
        for clip in (None, 1e-6)
    )
    start = train(_speech(optimizer="sgd", steps=1, eval_every=1), tmp_path / "1").points[0]
    assert abs(clipped.test_loss - start.test_loss) < abs(free.test_loss - start.test_loss)
    with pytest.raises(ArgumentError, match="clip must be a positive number, got 0"):
        train(_speech(clip=0.0), tmp_path / "none")


def test_padding_is_measured_with_running_and_with_batch_statistics(tmp_path: Path) -> None:
    masked, unmasked = (
        train(_speech(norm=norm, steps=12, measures=("padded_accuracy",)), tmp_path / norm).result
        for norm in ("batch", "batch_unmasked")
    )
    assert masked is not None
    assert unmasked is not None
    of_masked, of_unmasked = (each.measured["padded_accuracy"] for each in (masked, unmasked))
    assert list(of_masked["batch"]) == ["1", "2", "4", "8"]
    assert len(set(of_masked["batch"].values())) == 1
    assert len(set(of_unmasked["running"].values())) == 1
    assert len(set(of_unmasked["batch"].values())) > 1


def test_padding_of_images_is_one_error(tmp_path: Path) -> None:
    config = _speech(task="image", model="dense_bn", data="digits", measures=("padded_accuracy",))
    with pytest.raises(ArgumentError, match="'padded_accuracy' is for sequences, and images are not padded"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_output_is_that_of_the_second_of_two_classes() -> None:
    outputs, labels = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([1, 0, 0])
    assert predicted(outputs).tolist() == [1, 0, 1]
    both = torch.cat([torch.zeros(3, 1), outputs], dim=1)
    assert torch.allclose(loss_of(outputs, labels), loss_of(both, labels))
    assert loss_and_accuracy(outputs, labels)[1] == pytest.approx(2 / 3)


def test_word_vectors_are_what_a_run_begins_with(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("film " + " ".join(["9"] * 10) + "\n")
    config = _text(steps=1, eval_every=1, data_options={"vectors": str(tmp_path / "vectors.txt")})
    train(config, tmp_path / "run")
    from safetensors.torch import load_file

    weight = load_file(tmp_path / "run/checkpoint.safetensors")["model.embedding.weight"]
    number = load_data("text", "phrases").input_spec.vocabulary.index("film")
    assert (weight[number] > 8).all()


@pytest.fixture
def trained(tmp_path: Path) -> Callable[[RunConfig], Path]:
    def trained(config: RunConfig) -> Path:
        train(config, tmp_path / "run")
        return tmp_path / "run"

    return trained


def test_texts_are_classified_the_same_alone_and_among_others(trained: Callable[[RunConfig], Path]) -> None:
    options = {"width": 32, "dropout": 0.0}
    run = trained(_text(steps=80, batch_size=50, train_samples=1200, norm="none", options=options))
    texts = ["the film is good", "the story seems dull", "this is never dull", "Unheard of words!"]
    together = predict(run, texts)
    assert [prediction.input for prediction in together] == texts
    assert [prediction.label for prediction in together[:2]] == ["positive", "negative"]
    for text, prediction in zip(texts, together, strict=True):
        assert predict(run, [text]) == (prediction,)
        assert prediction.probability == max(prediction.probabilities.values())
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert list(prediction.probabilities) == ["negative", "positive"]


def test_recordings_of_any_rate_are_classified(trained: Callable[[RunConfig], Path], tmp_path: Path) -> None:
    run = trained(_speech())
    for rate in (8000, 16000):
        tone = np.sin(2 * np.pi * 300 * np.arange(rate // 4) / rate)
        wavfile.write(tmp_path / f"{rate}.wav", rate, (tone * 2**14).astype(np.int16))
    first, second = predict(run, [str(tmp_path / "8000.wav"), str(tmp_path / "16000.wav")])
    assert first.probability == pytest.approx(second.probability, abs=0.02)
    with pytest.raises(DataError, match=r"none\.wav: there is no such file; expected a WAV file"):
        predict(run, ["none.wav"])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_images_in_colour_or_grey_are_classified(
    trained: Callable[[RunConfig], Path], tmp_path: Path, mode: str
) -> None:
    run = trained(_speech(task="image", model="dense_bn", data="digits", clip=None))
    pixels = np.full((8, 8), 128, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    Image.fromarray(pixels).convert(mode).save(tmp_path / "other.png")
    grey, other = predict(run, [str(tmp_path / "grey.png"), str(tmp_path / "other.png")])
    assert grey.probabilities == other.probabilities


def test_images_of_another_size_are_resized_and_folders_are_read(
    trained: Callable[[RunConfig], Path], tmp_path: Path
) -> None:
    run = trained(_speech(task="image", model="dense_bn", data="digits", clip=None))
    (tmp_path / "images/more").mkdir(parents=True)
    Image.new("L", (8, 8), 128).save(tmp_path / "images/small.png")
    Image.new("L", (19, 16), 128).save(tmp_path / "images/more/large.png")
    large, small = predict(run, [str(tmp_path / "images")])
    assert [Path(each.input).name for each in (large, small)] == ["large.png", "small.png"]
    assert large.probabilities == small.probabilities


def test_a_run_without_a_checkpoint_or_none_at_all_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        predict(tmp_path, ["a text"])
    run = tmp_path / "run"
    train(_text(), run)
    (run / "checkpoint.safetensors").unlink()
    with pytest.raises(RunError, match=r"has no checkpoint\.safetensors yet"):
        predict(run, ["a text"])


def test_a_turned_photograph_is_classified_as_it_is_seen(
    trained: Callable[[RunConfig], Path], tmp_path: Path
) -> None:
    run = trained(_speech(task="image", model="dense_bn", data="digits", clip=None))
    upright = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(upright).save(tmp_path / "upright.png")
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "turned.png", exif=exif)
    upright_one, turned = predict(run, [str(tmp_path / "upright.png"), str(tmp_path / "turned.png")])
    assert turned.probabilities == upright_one.probabilities


def test_a_network_that_diverged_predicts_nothing(trained: Callable[[RunConfig], Path]) -> None:
    run = trained(_text(lr=1e30, optimizer="sgd", clip=None))
    with pytest.raises(
        RunError, match="the network's outputs are not finite, so there is no prediction for good: training"
    ):
        predict(run, ["good"])


def test_progress_is_told_after_each_input(trained: Callable[[RunConfig], Path]) -> None:
    done: list[int] = []
    predict(trained(_text()), ["a", "b"], progress=done.append)
    assert done == [1, 2]


def test_probabilities_of_a_network_in_doubles_are_its_own(trained: Callable[[RunConfig], Path]) -> None:
    run = trained(_text(dtype="float64"))
    (prediction,) = predict(run, ["good"])
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-15)
