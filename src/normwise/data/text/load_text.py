"""Any set of texts by its name, its folder or its file."""

from collections.abc import Callable
from dataclasses import replace

from normwise.data.files.user_file import expanded, is_folder, is_there
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.text.phrases import generated_text
from normwise.data.text.rt_polarity import rt_polarity
from normwise.data.text.text_files import text_files
from normwise.data.text.vocabulary import Vocabulary
from normwise.data.text.word_vectors import read_vectors
from normwise.errors import DataError

_NAMED: dict[str, Callable[[], SequenceData]] = {"rt-polarity": rt_polarity, "phrases": generated_text}


def load_text(source: str, *, vectors: str | None = None) -> SequenceData:
    """The texts that ``source`` means.

    Args:
        source: "rt-polarity", "phrases" (made up), or a folder or a CSV file, see :func:`text_files`. For a folder
            named as a known set is, write ``./phrases``.
        vectors: File of word vectors that a network begins with, see :func:`read_vectors`.

    Raises:
        DataError: there is no such name, folder or file, or its data is faulty.
    """
    path = expanded(source)
    if source in _NAMED:
        data = _NAMED[source]()
    elif is_folder(path) or (path.suffix.lower() == ".csv" and is_there(path)):
        data = text_files(path)
    else:
        raise DataError(
            f"{source}: is neither a folder nor a .csv file nor a known set of texts ({', '.join(_NAMED)})"
        )
    if vectors is None:
        return data
    return replace(data, vectors=read_vectors(vectors, Vocabulary(data.input_spec.vocabulary)))
