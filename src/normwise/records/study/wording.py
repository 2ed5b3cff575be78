"""Sentences in both languages of a report, and who says what."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Bilingual:
    """A sentence in English and in Chinese.

    Attributes:
        en: English.
        zh: Simplified Chinese.
    """

    en: str
    zh: str


@dataclass(frozen=True)
class Saying:
    """A tutorial that makes a claim.

    Attributes:
        tutorial: Number of one of the five that this project grew from, ``000`` to ``004``.
        section: Heading, or place, in it.
    """

    tutorial: str
    section: str


@dataclass(frozen=True)
class Source:
    """The origin of a claim, a protocol or a definition: a work, and the section in it."""

    work: str
    section: str
    url: str


@dataclass(frozen=True)
class Brief:
    """A claim's part of the headline, which a reader takes in first.

    Attributes:
        kind: A gain, as in "BN buys speed", or a cost, as in "it costs memory".
        words: The noun, such as "speed".
        do: What to do about it where the claim holds; begins with a verb, without a full stop; empty for nothing.
    """

    kind: Literal["gain", "cost"]
    words: Bilingual
    do: Bilingual = Bilingual("", "")
