"""Generated recordings of tones, which need no download."""

import math
from functools import cache

import torch
from torch import Tensor

from normwise.data.options import SpeechOptions
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.speech_data import AudioClip, speech_data
from normwise.data.speech.speech_features import check_rate
from normwise.process.one_thread import one_thread

_RATE = 8000
_EACH, _TEST_EACH = 80, 30
_SPEAKERS = ("bass", "tenor", "alto", "treble")
#: The two formants of the beginning and of the end, in Hz, of each class: pairs that share a beginning or an end.
_PATHS = {
    "0": ((300, 900), (700, 1100)),
    "1": ((300, 900), (300, 2200)),
    "2": ((700, 1100), (300, 900)),
    "3": ((700, 1100), (450, 1700)),
    "4": ((300, 2200), (700, 1100)),
    "5": ((300, 2200), (300, 900)),
    "6": ((450, 1700), (300, 2200)),
    "7": ((450, 1700), (700, 1100)),
    "8": ((600, 1400), (600, 1400)),
    "9": ((700, 1100), (300, 2200)),
}


def tones(options: SpeechOptions | None = None) -> SequenceData:
    """Return sounds that glide from one vowel to another, of 0.08 to 0.6 seconds, as frames of 40 features.

    Ten classes; a class is the path of two formants, which a voice of random pitch, size, speed and loudness sings into
    noise. 80 of each class are to train on and 30 to test on; the speakers are four ranges of pitch. The same in every
    call.
    """
    options = options or SpeechOptions()
    check_rate(options.rate)
    return speech_data("tones", _recordings(), options)


# Once a process: a study reads them with several options, and to sing takes longer than all the rest.
@cache
def _recordings() -> list[AudioClip]:
    generator = torch.Generator().manual_seed(0)
    with one_thread():
        return [
            AudioClip(
                f"tones {label} {number}", label, who, "train" if number < _EACH else "test", wave, _RATE
            )
            for number in range(_EACH + _TEST_EACH)
            for label in _PATHS
            for who, wave in [_sung(label, generator)]
        ]


def _sung(label: str, generator: torch.Generator) -> tuple[str, Tensor]:
    """Return the singer and the wave."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    voice = min(int(between(0, len(_SPEAKERS))), len(_SPEAKERS) - 1)
    # As unequal as words and names are: a few are several times as long as most.
    count = int(_RATE * 0.08 * 7.5 ** between(0, 1))
    time = torch.arange(count) / count
    # A glide in the middle, sooner or later, slower or faster.
    middle, steepness = between(0.35, 0.65), between(6, 20)
    glide = torch.sigmoid(steepness * (time - middle))
    pitch = (90 * 2 ** (voice / 2)) * between(0.9, 1.1) * (1 + between(-0.15, 0.15) * time)
    size = between(0.85, 1.15)
    first, last = _PATHS[label]
    phase = 2 * math.pi * torch.cumsum(pitch, 0) / _RATE
    harmonics = torch.arange(1, 25)[:, None]
    frequency = harmonics * pitch
    # Each formant is a resonance, 120 Hz wide.
    gain = sum(
        1 / (1 + ((frequency - size * (begin + (end - begin) * glide)) / 120).square())
        for begin, end in zip(first, last, strict=True)
    )
    wave = (gain * (frequency < _RATE / 2) * torch.sin(harmonics * phase)).sum(0)
    noise = torch.randn(count, generator=generator)
    loudness = between(0.05, 0.3)
    return _SPEAKERS[voice], loudness * (wave / wave.std() + between(0.3, 1.2) * noise) / 4
