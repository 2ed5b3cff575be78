"""The words that a network for texts knows, by number."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from normwise.data.text.tokenizer import tokens
from normwise.errors import DataError

PADDING, UNKNOWN = "<pad>", "<unk>"


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and their numbers.

    Attributes:
        tokens: Tokens by index: ``<pad>``, ``<unk>`` for unknown words, and the words.

    Raises:
        DataError: it does not begin with those two, or has a token twice.
    """

    tokens: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if self.tokens[:2] != (PADDING, UNKNOWN):
            raise DataError(f"a vocabulary begins with {PADDING} and {UNKNOWN}, got {self.tokens[:2]}")
        if len(self._numbers) != len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise DataError(f"the vocabulary has {twice!r} twice")

    @staticmethod
    def of(texts: Iterable[str], *, least: int = 1) -> "Vocabulary":
        """Return the tokens that occur at least ``least`` times, the most frequent first, then alphabetically."""
        counts = Counter(token for text in texts for token in tokens(text))
        chosen = sorted((-count, token) for token, count in counts.items() if count >= least)
        return Vocabulary((PADDING, UNKNOWN, *(token for _, token in chosen)))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> Tensor:
        """Return the indices of the text's tokens, int64 (L,); only the unknown token for an empty text."""
        numbers = [self._numbers.get(token, 1) for token in tokens(text)]
        return torch.tensor(numbers or [1])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}
