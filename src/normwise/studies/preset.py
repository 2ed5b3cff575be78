"""Presets such as "quick" and "full": the data, the networks, the budgets and the seeds of a study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from normwise.errors import ArgumentError
from normwise.records import Bilingual, Family, Option, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Network:
    """A network of the study, its data, and the budget that a run of it has.

    Attributes:
        name: Name of the network in the study.
        gloss: Description for a reader who does not know the name.
        family: Kind of network.
        model: Name of the network in ``normwise.models``.
        steps: Optimiser steps of a run.
        lr: Learning rate where it is not what is varied or chosen.
        batch_size: Number of samples per step.
        options: Options of the network.
        task, data: Task and data set of the training; an empty name means the data set of the preset.
        test_samples: Test set; None for the preset's.
    """

    name: str
    gloss: Bilingual
    family: Family
    model: str
    steps: int
    lr: float
    batch_size: int = 60
    options: Mapping[str, Option] = field(default_factory=dict)
    task: Task = "image"
    data: str = ""
    test_samples: int | None = None


@dataclass(frozen=True)
class Preset:
    """A size of study.

    Attributes:
        name: "quick", "full" or "gpu".
        data: Data set of images.
        networks: Networks for images that claims are tested on, by name.
        sequences: Recurrent networks, by name.
        tuning_seeds: Seeds on which learning rates are chosen, and nothing is judged.
        seeds: Seeds on which claims are judged.
        train_samples: Training images; None for all.
        test_samples: Test images; None for all.
        device: Device that computes the runs.
    """

    name: str
    data: str
    networks: Mapping[str, Network]
    sequences: Mapping[str, Network]
    # None below 20: with those the rules were rehearsed before they were fixed.
    tuning_seeds: tuple[int, ...] = (20, 21)
    seeds: tuple[int, ...] = (22, 23, 24, 25, 26)
    train_samples: int | None = None
    test_samples: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"

    def pick(self, *, quick: T, full: T, gpu: T | None = None) -> T:
        """Return what a claim has for this preset; for "gpu" that of "full", unless it has something else."""
        return {"quick": quick, "full": full, "gpu": full if gpu is None else gpu}[self.name]


_GLOSSES = {
    "ioffe_mlp": Bilingual("3 sigmoid layers", "3 层 sigmoid"),
    "dense_bn": Bilingual("1 dense layer", "1 层全连接"),
    "mnist_cnn": Bilingual("small convolutional net", "小卷积网"),
    "deep_mlp": Bilingual("10 dense layers", "10 层全连接"),
    "resnet_8": Bilingual("residual net of 8 layers", "8 层残差网"),
    "speech_lstm": Bilingual("LSTM on speech", "语音 LSTM"),
    "sentiment_bilstm": Bilingual("BiLSTM on text", "文本 BiLSTM"),
    "text_transformer": Bilingual("Transformer on text", "文本 Transformer"),
    "row_lstm": Bilingual("LSTM on the rows of images", "逐行读图的 LSTM"),
    "mlp_40": Bilingual("40 dense layers of 512", "40 层全连接（宽 512）"),
    "wide_cnn": Bilingual("wide convolutional net", "宽卷积网"),
    "resnet_20": Bilingual("residual net of 20 layers", "20 层残差网"),
    "resnet_56": Bilingual("residual net of 56 layers", "56 层残差网"),
}


def _images(steps: Mapping[str, int]) -> dict[str, Network]:
    """Return the networks for images, with a number of steps each."""
    networks = (
        Network("ioffe_mlp", _GLOSSES["ioffe_mlp"], "dense", "ioffe_mlp", steps["ioffe_mlp"], lr=1.0),
        Network("dense_bn", _GLOSSES["dense_bn"], "dense", "dense_bn", steps["dense_bn"], lr=0.1),
        Network("mnist_cnn", _GLOSSES["mnist_cnn"], "convolution", "mnist_cnn", steps["mnist_cnn"], lr=0.1),
        Network(
            "deep_mlp",
            _GLOSSES["deep_mlp"],
            "deep",
            "plain_mlp",
            steps["deep_mlp"],
            lr=0.1,
            options={"depth": 10, "init": "he"},
        ),
        Network(
            "resnet_8",
            _GLOSSES["resnet_8"],
            "deep",
            "resnet",
            steps["resnet_8"],
            lr=0.1,
            # Without BN it has what it needs: biases, and weights that keep the size of what goes through.
            options={"depth": 8, "bias": True, "init": "he"},
        ),
    )
    return {network.name: network for network in networks}


def _larger(steps: Mapping[str, int]) -> dict[str, Network]:
    """Return the larger networks for images, with a number of steps each."""
    # Without BN each has what it needs: biases, and weights that keep the size of what goes through.
    of_each: dict[str, tuple[Family, str, dict[str, Option]]] = {
        "mlp_40": ("deep", "plain_mlp", {"depth": 40, "width": 512, "init": "he"}),
        "wide_cnn": ("convolution", "cnn_64", {"width": 128}),
        "resnet_20": ("deep", "resnet", {"depth": 20, "bias": True, "init": "he"}),
        "resnet_56": ("deep", "resnet", {"depth": 56, "bias": True, "init": "he"}),
    }
    return {
        name: Network(name, _GLOSSES[name], family, model, steps[name], lr=0.1, options=options)
        for name, (family, model, options) in of_each.items()
    }


def _sequence(name: str, model_task: Task, data: str, steps: int, lr: float, **rest: object) -> Network:
    return Network(name, _GLOSSES[name], "recurrent", name, steps, lr, task=model_task, data=data, **rest)  # type: ignore[arg-type]


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="quick",
            data="digits",
            networks=_images(
                {"ioffe_mlp": 900, "dense_bn": 400, "mnist_cnn": 300, "deep_mlp": 300, "resnet_8": 100}
            ),
            sequences={
                "speech_lstm": _sequence(
                    "speech_lstm", "speech", "tones", 30, 0.01, batch_size=64, options={"units": 32}
                ),
                "sentiment_bilstm": _sequence(
                    "sentiment_bilstm",
                    "text",
                    "phrases",
                    60,
                    0.01,
                    batch_size=50,
                    options={"units": 32, "width": 32, "dropout": 0.0},
                    test_samples=300,
                ),
                "row_lstm": _sequence(
                    "row_lstm", "image", "digits", 50, 0.01, options={"max_length": 8}, test_samples=300
                ),
            },
        ),
        Preset(
            name="full",
            data="mnist",
            networks=_images(
                {"ioffe_mlp": 5000, "dense_bn": 1500, "mnist_cnn": 400, "deep_mlp": 1500, "resnet_8": 300}
            ),
            sequences={
                "speech_lstm": _sequence(
                    "speech_lstm", "speech", "fsdd", 420, 0.002, batch_size=32, options={"units": 64}
                ),
                "sentiment_bilstm": _sequence(
                    "sentiment_bilstm",
                    "text",
                    "rt-polarity",
                    240,
                    0.001,
                    batch_size=50,
                    options={"units": 64, "width": 100},
                ),
                # No recurrent network, and its budget is theirs.
                "text_transformer": Network(
                    "text_transformer",
                    _GLOSSES["text_transformer"],
                    "deep",
                    "text_transformer",
                    300,
                    0.001,
                    batch_size=50,
                    options={"width": 64, "heads": 4},
                    task="text",
                    data="rt-polarity",
                ),
                "row_lstm": _sequence(
                    "row_lstm", "image", "mnist", 500, 0.002, options={"max_length": 28}, test_samples=2_000
                ),
            },
            train_samples=10_000,
            test_samples=2_000,
        ),
        Preset(
            name="gpu",
            data="fashion-mnist",
            networks=_larger({"mlp_40": 500, "wide_cnn": 500, "resnet_20": 300, "resnet_56": 300}),
            sequences={},
            train_samples=10_000,
            test_samples=2_000,
            device="cuda",
        ),
    )
}


def preset_named(name: str) -> Preset:
    """Return the preset of a name.

    Raises:
        ArgumentError: there is no such preset.
    """
    if name not in PRESETS:
        raise ArgumentError(f"unknown preset {name!r}; known are {', '.join(PRESETS)}")
    return PRESETS[name]
