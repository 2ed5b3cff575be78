"""Data and arguments of the examples: MNIST, spoken digits and film reviews as NumPy arrays.

They are found, or downloaded, as ``normwise.data`` says. Where that fails, and with ``--built-in``, what comes with
normwise takes their place: scanned digits of 8×8 pixels, sung tones, made-up phrases. All but the last two need
``pip install 'normwise[study]'``.
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normwise.data import load_data
from normwise.errors import DataError

Part = tuple[NDArray[Any], NDArray[Any]]


def arguments(about: str | None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--samples", type=int, help="only so many to train on, and to test on")
    parser.add_argument("--built-in", action="store_true", help="data that come with normwise")
    return parser.parse_args()


def images(asked: argparse.Namespace) -> tuple[Part, Part]:
    """Return MNIST: images ``(N, H, W, 1)`` from 0 to 1 and labels ``(N,)``, to train on and to test on."""
    data = _data(asked, "image", "mnist", "digits")

    def part(samples: Any) -> Part:
        return samples.images.permute(0, 2, 3, 1).contiguous().numpy(), samples.labels.numpy()

    return part(data.training), part(data.test)


def coloured_images(asked: argparse.Namespace, size: int) -> tuple[Part, Part]:
    """Return MNIST in colour and larger, ``(N, size, size, 3)``.

    Each pixel becomes a square of pixels, as large as fits, with a margin around the digit. Each digit has a bright
    colour of its own, on a dark one, drawn from a seed.
    """
    draw = np.random.default_rng(0)

    def coloured(part: Part) -> Part:
        grey, labels = part
        factor = size // grey.shape[1]
        before = (size - factor * grey.shape[1]) // 2
        behind = size - factor * grey.shape[1] - before
        grey = grey.repeat(factor, axis=1).repeat(factor, axis=2)
        grey = np.pad(grey, ((0, 0), (before, behind), (before, behind), (0, 0)))
        bright, dark = draw.uniform(0.5, 1, (len(grey), 1, 1, 3)), draw.uniform(0, 0.4, (len(grey), 1, 1, 3))
        return (dark + (bright - dark) * grey).astype("float32"), labels

    training, test = images(asked)
    return coloured(training), coloured(test)


def recordings(asked: argparse.Namespace) -> tuple[Part, Part]:
    """Return spoken digits (FSDD): frames ``(N, time, 40)``, with zeros behind the end of each, and labels ``(N,)``."""
    return _sequences(_data(asked, "speech", "fsdd", "tones"))


def reviews(asked: argparse.Namespace) -> tuple[Part, Part, int]:
    """Return film reviews (rt-polarity): words as numbers ``(N, time)``, 0 behind the end; labels; how many words."""
    data = _data(asked, "text", "rt-polarity", "phrases")
    return *_sequences(data), data.input_spec.shape[0]


def _data(asked: argparse.Namespace, task: Any, real: str, built_in: str) -> Any:
    data = None
    if not asked.built_in:
        try:
            data = load_data(task, real)
        except DataError as error:
            print(f"{real} is not here, {built_in} take its place: {error}")
    data = data or load_data(task, built_in)
    sizes = [min(asked.samples or len(part), len(part)) for part in (data.training, data.test)]
    return data.subset(*sizes)


def _sequences(data: Any) -> tuple[Part, Part]:
    longest = int(max(data.training.lengths.max(), data.test.lengths.max()))

    def part(samples: Any) -> Part:
        padded = np.zeros((len(samples), longest, *samples[0].shape[1:]), samples[0].numpy().dtype)
        for number in range(len(samples)):
            padded[number, : len(samples[number])] = samples[number].numpy()
        return padded, samples.labels.numpy()

    return part(data.training), part(data.test)
