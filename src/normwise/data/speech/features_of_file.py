"""Recordings as a network for speech takes them."""

from pathlib import Path

from torch import Tensor

from normwise.data.speech.speech_features import resampled, speech_features
from normwise.data.speech.wav import read_wav
from normwise.errors import DataError


def recording(path: str | Path, rate: int) -> Tensor:
    """Return the features (frames, 40) of a WAV file, brought to ``rate`` samples a second.

    Raises:
        ArgumentError: the rate is none that recordings can be brought to.
        DataError: as :func:`read_wav`, or the recording is too long at this rate.
    """
    wave, own_rate = read_wav(path)
    return features_of(wave, own_rate, rate, path)


def features_of(wave: Tensor, own_rate: int, rate: int, where: str | Path) -> Tensor:
    """Return the features (frames, 40) of a wave, brought to ``rate`` samples a second; errors name ``where``."""
    try:
        return speech_features(resampled(wave, own_rate, rate), rate)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
