"""Vectors of words: learnt, or begun with those of a file."""

import torch
from torch import Tensor, nn

from normwise.errors import ModelError


class WordEmbedding(nn.Embedding):
    """A vector for each entry of a vocabulary, of which the first is padding.

    They are drawn from the uniform distribution on ±0.25, as in Kim 2014
    (https://arxiv.org/abs/1408.5882, section 3.1).
    """

    def __init__(self, entries: int, width: int):
        super().__init__(entries, width, padding_idx=0)

    def reset_parameters(self) -> None:
        """Draw the vectors."""
        with torch.no_grad():
            self.weight.uniform_(-0.25, 0.25)
            self.weight[0] = 0

    def begin_with(self, vectors: Tensor, known: Tensor) -> None:
        """Take the vectors (V, width) of the words of which ``known`` (V,) is True.

        Raises:
            ModelError: they have another width.
        """
        if vectors.shape != self.weight.shape:
            raise ModelError(
                f"the word vectors have {vectors.shape[1]} dimensions, but the network's have {self.weight.shape[1]}; "
                f"give it width={vectors.shape[1]}"
            )
        with torch.no_grad():
            self.weight[known] = vectors[known].to(self.weight)
