"""A recording as a network for speech takes it."""

from pathlib import Path

from torch import Tensor

from normwise.data.speech_features import resampled, speech_features
from normwise.data.wav import read_wav


def recording(path: str | Path, rate: int) -> Tensor:
    """The features (frames, 40) of a WAV file, brought to ``rate`` samples a second.

    Raises:
        DataError: as :func:`read_wav`.
    """
    wave, own_rate = read_wav(path)
    return speech_features(resampled(wave, own_rate, rate), rate)
