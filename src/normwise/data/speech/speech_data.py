"""Recordings with a label each, made a data set, and the features of one."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from normwise.data.files.user_file import check_unicode
from normwise.data.options import SpeechOptions
from normwise.data.protocols import DataPart
from normwise.data.sample_order import epoch_order
from normwise.data.sequences.padded_batches import Sequences
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.speech_features import BANDS, check_rate, resampled, speech_features
from normwise.data.speech.wav import read_wav
from normwise.data.stratified_split import stratified
from normwise.errors import DataError
from normwise.records import InputSpec

_SPLITS = ("random", "speaker")


class AudioClip(NamedTuple):
    """A wave with what is known of it.

    Attributes:
        where: Name of the file, for errors.
        label: Spoken word or class.
        speaker: Name of the speaker, if known.
        part: Part of the data set, training or test, if given.
        wave: Wave, float32 (T,).
        rate: Samples a second.
    """

    where: str
    label: str
    speaker: str | None
    part: DataPart | None
    wave: Tensor
    rate: int


def speech_data(name: str, recordings: Sequence[AudioClip], options: SpeechOptions) -> SequenceData:
    """Return the features of all recordings, in a training and a test part.

    Args:
        name: Name of the data set.
        recordings: Recordings in a fixed order.
        options: Split and rate. A random split is by the recordings' parts; where these are not given, a tenth of each
            class is for the test.

    Raises:
        ArgumentError: the rate is none that recordings can be brought to.
        DataError: there is no such split or speaker, or fewer than two classes or speakers; or a class has a name that
            is not UTF-8.
    """
    check_rate(options.rate)
    split, speaker = options.split, options.speaker
    classes = tuple(sorted({recording.label for recording in recordings}))
    if len(classes) < 2:
        raise DataError(
            f"{name}: all recordings are of the class {''.join(classes)!r}; expected two classes at least"
        )
    for label in classes:
        check_unicode(label, f"{name}: the class")
    if split not in _SPLITS:
        raise DataError(f"{name}: unknown split {split!r}; known are {', '.join(_SPLITS)}")
    if split == "random" and speaker is not None:
        raise DataError(f'{name}: speaker={speaker!r} is for split="speaker"; leave it out, or give both')
    parts = _by_speaker(name, recordings, speaker) if split == "speaker" else _by_part(recordings)
    if not all(parts):
        raise DataError(
            f"{name}: too few recordings: none is left for the test; two of a class are the least"
        )

    number_of = {label: number for number, label in enumerate(classes)}

    def sequences(numbers: list[int]) -> Sequences:
        chosen = [recordings[number] for number in numbers]
        features = [
            features_of(each.wave, each.rate, options.rate, each.where, loudness=options.loudness)
            for each in chosen
        ]
        return Sequences.of(features, [number_of[each.label] for each in chosen])

    training, test = map(sequences, parts)
    spec = InputSpec("speech", (BANDS,), classes, rate=options.rate, loudness=options.loudness)
    return SequenceData(name, training, test, spec)


def features_of_file(path: str | Path, rate: int, *, loudness: bool = False) -> Tensor:
    """Return the features (frames, 40) of a WAV file, brought to ``rate`` samples a second, with loudness or without.

    Raises:
        ArgumentError: the rate is none that recordings can be brought to.
        DataError: as :func:`read_wav`, or the recording is too long at this rate.
    """
    wave, own_rate = read_wav(path)
    return features_of(wave, own_rate, rate, path, loudness=loudness)


def features_of(
    wave: Tensor, own_rate: int, rate: int, where: str | Path, *, loudness: bool = False
) -> Tensor:
    """Return the features (frames, 40) of a wave, brought to ``rate`` samples a second; errors name ``where``."""
    try:
        return speech_features(resampled(wave, own_rate, rate), rate, loudness=loudness)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _by_part(recordings: Sequence[AudioClip]) -> tuple[list[int], list[int]]:
    if all(recording.part is None for recording in recordings):
        return stratified([recording.label for recording in recordings])
    shuffled = epoch_order(len(recordings), seed=0, epoch=0).tolist()
    training = [number for number in shuffled if recordings[number].part == "train"]
    return training, [number for number in shuffled if recordings[number].part == "test"]


def _by_speaker(
    name: str, recordings: Sequence[AudioClip], speaker: str | None
) -> tuple[list[int], list[int]]:
    speakers = sorted({recording.speaker for recording in recordings if recording.speaker is not None})
    if len(speakers) < 2:
        got = f"only of {speakers[0]!r}" if speakers else "of none by name"
        raise DataError(f"{name}: recordings are {got}; a split by speaker needs two speakers at least")
    if speaker is not None and speaker not in speakers:
        raise DataError(f"{name}: has no speaker {speaker!r}; it has {', '.join(speakers)}")
    held_out = speakers[-1] if speaker is None else speaker
    shuffled = epoch_order(len(recordings), seed=0, epoch=0).tolist()
    training = [number for number in shuffled if recordings[number].speaker != held_out]
    return training, [number for number in shuffled if recordings[number].speaker == held_out]
