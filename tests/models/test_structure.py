"""The layers of each network, in the order in which they run, are those that its docstring says."""

from collections.abc import Callable

import pytest
from torch import nn

from normwise.models import build

Shape = tuple[int, int, int]
LayersRun = Callable[[nn.Module, Shape], list[str]]

DENSE = ["Linear 100→10"]
IOFFE = {
    placement: [
        part
        for inputs in (784, 100, 100)
        for part in (f"Linear {inputs}→100", *order)
    ] + DENSE
    for placement, order in {
        "before": ("BatchNorm1d 100", "Sigmoid"),
        "after": ("Sigmoid", "BatchNorm1d 100"),
    }.items()
}  # fmt: skip

STRUCTURES: dict[tuple[str, Shape, str], list[str]] = {
    ("ioffe_mlp", (1, 28, 28), "before"): IOFFE["before"],
    ("ioffe_mlp", (1, 28, 28), "after"): IOFFE["after"],
    ("dense_bn", (1, 28, 28), "before"): [
        "Linear 784→128", "BatchNorm1d 128", "ReLU",
        "Linear 128→10",
    ],
    ("dense_bn", (1, 28, 28), "after"): [
        "Linear 784→128", "ReLU", "BatchNorm1d 128",
        "Linear 128→10",
    ],
    ("mnist_cnn", (1, 28, 28), "before"): [
        "Conv2d 1→32 of 3×3", "BatchNorm2d 32", "ReLU", "MaxPool2d 2",
        f"Linear {32 * 13 * 13}→128", "ReLU",
        "Linear 128→10",
    ],
    ("mnist_cnn", (1, 28, 28), "after"): [
        "Conv2d 1→32 of 3×3", "ReLU", "BatchNorm2d 32", "MaxPool2d 2",
        f"Linear {32 * 13 * 13}→128", "ReLU",
        "Linear 128→10",
    ],
    ("conv_pair", (1, 28, 28), "before"): [
        "Conv2d 1→64 of 3×3 padded", "BatchNorm2d 64", "ReLU",
        "Conv2d 64→64 of 3×3 padded", "BatchNorm2d 64", "ReLU", "MaxPool2d 2",
        f"Linear {64 * 14 * 14}→10",
    ],
    ("conv_pair", (1, 28, 28), "after"): [
        "Conv2d 1→64 of 3×3 padded", "ReLU", "BatchNorm2d 64",
        "Conv2d 64→64 of 3×3 padded", "ReLU", "BatchNorm2d 64", "MaxPool2d 2",
        f"Linear {64 * 14 * 14}→10",
    ],
    ("cnn_32", (3, 32, 32), "input"): [
        "BatchNorm2d 3", "Conv2d 3→16 of 3×3 padded", "ReLU", "MaxPool2d 2",
        f"Linear {16 * 16 * 16}→10",
    ],
    ("cnn_32", (3, 32, 32), "before"): [
        "Conv2d 3→16 of 3×3 padded", "BatchNorm2d 16", "ReLU", "MaxPool2d 2",
        f"Linear {16 * 16 * 16}→10",
    ],
    ("cnn_32", (3, 32, 32), "after"): [
        "Conv2d 3→16 of 3×3 padded", "ReLU", "BatchNorm2d 16", "MaxPool2d 2",
        f"Linear {16 * 16 * 16}→10",
    ],
    ("cnn_64", (3, 64, 64), "before"): [
        "Conv2d 3→32 of 3×3", "BatchNorm2d 32", "ReLU", "MaxPool2d 2",
        "Conv2d 32→64 of 3×3", "BatchNorm2d 64", "ReLU", "MaxPool2d 2",
        f"Linear {64 * 14 * 14}→128", "BatchNorm1d 128", "ReLU",
        "Linear 128→10",
    ],
    ("cnn_64", (3, 64, 64), "after"): [
        "Conv2d 3→32 of 3×3", "ReLU", "BatchNorm2d 32", "MaxPool2d 2",
        "Conv2d 32→64 of 3×3", "ReLU", "BatchNorm2d 64", "MaxPool2d 2",
        f"Linear {64 * 14 * 14}→128", "ReLU", "BatchNorm1d 128",
        "Linear 128→10",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("network", "layers"), STRUCTURES.items(), ids=lambda value: str(value)[:40])
def test_layers_and_their_order(
    network: tuple[str, Shape, str], layers: list[str], layers_run: LayersRun
) -> None:
    name, shape, placement = network
    assert layers_run(build(name, shape, 10, placement=placement), shape) == layers


@pytest.mark.parametrize(
    ("name", "placement"),
    [
        ("ioffe_mlp", "before"),
        ("dense_bn", "before"),
        ("conv_pair", "before"),
        ("cnn_32", "before"),
        ("mnist_cnn", "after"),
        ("cnn_64", "after"),
    ],
)
def test_default_placement(name: str, placement: str, layers_run: LayersRun) -> None:
    shape = (3, 12, 12)
    assert layers_run(build(name, shape, 10), shape) == layers_run(
        build(name, shape, 10, placement=placement), shape
    )
