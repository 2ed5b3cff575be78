"""Any set of recordings by its name or its folder."""

from collections.abc import Callable

from normwise.data.files.user_file import expanded, is_folder
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.fsdd import fsdd
from normwise.data.speech.tones import generated_speech
from normwise.data.speech.wav_folder import wav_folder
from normwise.errors import DataError

_NAMED: dict[str, Callable[..., SequenceData]] = {"fsdd": fsdd, "tones": generated_speech}


def load_speech(
    source: str, *, split: str = "random", speaker: str | None = None, rate: int = 8000
) -> SequenceData:
    """The recordings that ``source`` means.

    Args:
        source: "fsdd", "tones" (made up), or a folder, see :func:`wav_folder`. For a folder named as a known set is,
            write ``./fsdd``.
        split, speaker, rate: See :func:`fsdd`.

    Raises:
        ArgumentError: the rate is none that recordings can be brought to.
        DataError: there is no such name or folder, or its data is faulty.
    """
    if source in _NAMED:
        return _NAMED[source](split=split, speaker=speaker, rate=rate)
    directory = expanded(source)
    if not is_folder(directory):
        raise DataError(f"{source}: is neither a folder nor a known set of recordings ({', '.join(_NAMED)})")
    return wav_folder(directory, split=split, speaker=speaker, rate=rate)
