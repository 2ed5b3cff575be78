"""Generated opinions as texts, which need no download."""

import random

from normwise.data.options import TextOptions
from normwise.data.protocols import DataPart
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.text.text_data import Text, text_data

_TRAIN, _TEST = 1500, 500
_NOISE = 0.03
_GOOD = "good great fine moving funny fresh clever warm bright charming lively honest rich sweet sharp"
_BAD = "bad dull flat stale silly cold slow clumsy grim shallow noisy empty tired weak messy"
_FLIPS = "not never hardly"
_THINGS = "film plot story cast script scene music camera hero ending joke picture dialogue world idea"
_FILLERS = "the a this that one its and of in with for on at by"
_VERBS = "is was seems feels looks sounds"
_MOST_CLAUSES = 3


def phrases(options: TextOptions | None = None) -> SequenceData:
    """Return sentences like "the film is never dull but its ending feels flat", negative and positive, 1,500 and 500.

    Each clause has an opinion, which "not", "never" and "hardly" turn round; where there are two, joined by "but", the
    last is that of the sentence. Both come among words that say nothing, and 3 % of the labels are wrong: counting
    words does not suffice. The same in every call.
    """
    draw = random.Random(0)
    texts = [_text(draw, "train" if number < _TRAIN else "test") for number in range(_TRAIN + _TEST)]
    return text_data("phrases", texts, options)


def _text(draw: random.Random, part: DataPart) -> Text:
    words, positive = _clause(draw)
    for _ in range(_MOST_CLAUSES - 1):
        if draw.random() < 0.4:
            more, positive = _clause(draw)
            words += ["but", *more]
    if draw.random() < _NOISE:
        positive = not positive
    return Text(" ".join(words), "positive" if positive else "negative", part)


def _clause(draw: random.Random) -> tuple[list[str], bool]:
    def one_of(words: str) -> str:
        return draw.choice(words.split())

    positive, flipped = draw.random() < 0.5, draw.random() < 0.4
    opinion = one_of(_GOOD if positive != flipped else _BAD)
    filler = [one_of(_FILLERS if draw.random() < 0.6 else _THINGS) for _ in range(draw.randrange(0, 8))]
    turn = [one_of(_FLIPS)] if flipped else []
    return [*filler, one_of(_THINGS), one_of(_VERBS), *turn, opinion], positive
