"""Texts with a label each, made a data set."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from normwise.data.options import TextOptions
from normwise.data.protocols import DataPart
from normwise.data.sample_order import epoch_order
from normwise.data.sequences.padded_batches import Sequences
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.stratified_split import stratified
from normwise.data.text.vocabulary import Vocabulary
from normwise.data.text.word_vectors import read_vectors
from normwise.errors import DataError
from normwise.records import InputSpec


class Text(NamedTuple):
    """A text, what it is, and in which part it belongs if that is given."""

    text: str
    label: str
    part: DataPart | None = None


def text_data(name: str, texts: Sequence[Text], options: TextOptions | None = None) -> SequenceData:
    """Return the tokens of all texts, in a training and a test part, with the vocabulary of the training part.

    Where the parts are not given, a tenth of each class is for the test, the same in every call. Each part is shuffled.
    The vectors are of the words of that vocabulary.

    Raises:
        DataError: there are fewer than two classes, or a class is in the test part only; or the file of vectors is
            faulty.
    """
    classes = tuple(sorted({text.label for text in texts}))
    if len(classes) < 2:
        got = f"all are of the class {classes[0]!r}" if classes else "there are none"
        raise DataError(f"{name}: expected texts of two classes at least; {got}")
    if all(text.part is None for text in texts):
        training, test = stratified([text.label for text in texts])
    else:
        shuffled = epoch_order(len(texts), seed=0, epoch=0).tolist()
        training = [number for number in shuffled if texts[number].part == "train"]
        test = [number for number in shuffled if texts[number].part == "test"]
    untrained = set(classes) - {texts[number].label for number in training}
    if untrained:
        raise DataError(f"{name}: the class {min(untrained)!r} is in the test part only")
    if not test:
        raise DataError(f"{name}: too few texts: none is left for the test; two of a class are the least")
    vocabulary = Vocabulary.of(texts[number].text for number in training)

    number_of = {label: number for number, label in enumerate(classes)}

    def sequences(numbers: list[int]) -> Sequences:
        chosen = [texts[number] for number in numbers]
        return Sequences.of(
            [vocabulary.encode(each.text) for each in chosen], [number_of[each.label] for each in chosen]
        )

    input_spec = InputSpec("text", (len(vocabulary),), classes, vocabulary=vocabulary.tokens)
    data = SequenceData(name, sequences(training), sequences(test), input_spec)
    if options is None or options.vectors is None:
        return data
    return replace(data, vectors=read_vectors(options.vectors, vocabulary))
