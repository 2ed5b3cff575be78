"""A small Transformer encoder over the words of a text."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError
from normwise.functional import sequence_mask
from normwise.models.parts.input_checks import check_dropout, check_tokens, lengths_of
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.sequence_norm import check_sequence_norm, norm_between_layers, normalise_sequences
from normwise.models.parts.word_embedding import WordEmbedding


class TextTransformer(nn.Module):
    """Word vectors and positions, norm, encoder layers, mean over the words, dense 1.

    In each layer a norm stands behind the sum of its input and what attention or the dense layers make of it, as in
    BERT (Devlin et al. 2018, https://arxiv.org/abs/1810.04805), where it is LayerNorm. Positions are sines and cosines
    (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5), so that a text may have any length. The one
    output is that of the second of two classes, before the sigmoid; of more classes there is one each.

    Args:
        shape: Entries of the vocabulary.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.sequence_norm``; none within recurrent layers.
        width: Width of the word vectors and of all layers, an even number.
        heads: Number of heads of the attention, a divisor of the width.
        depth: Number of layers.
        dropout: Dropout of the word vectors, and of the branches that are added to a layer's input.
    """

    def __init__(
        self,
        shape: tuple[int],
        classes: int,
        *,
        norm: NormChoice = "layer",
        width: int = 300,
        heads: int = 6,
        depth: int = 2,
        dropout: float = 0.5,
    ):
        super().__init__()
        check_sequence_norm("text_transformer", norm, recurrent=False)
        check_dropout("text_transformer", dropout)
        if width % heads or width % 2:
            raise ModelError(
                f"text_transformer: expected an even width that {heads} heads can share equally, got {width}"
            )
        (self.entries,) = shape
        self.masked = norm != "batch_unmasked"
        self.embedding = WordEmbedding(self.entries, width)
        self.embedding_norm = norm_between_layers(norm, width)
        self.layers = nn.ModuleList(EncoderLayer(norm, width, heads, dropout) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, 1 if classes == 2 else classes)

    def forward(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits ``(N, 1)`` or ``(N, classes)`` of tokens ``(N, L)``, of which the first ``lengths`` are real."""
        check_tokens("text_transformer", sequences, self.entries)
        lengths = lengths_of("text_transformer", sequences, lengths)
        real = sequence_mask(lengths, sequences.shape[1]).to(sequences.device)
        known = lengths if self.masked else None
        words = self.embedding(sequences)
        hidden = self.dropout(normalise_sequences(self.embedding_norm, words + _positions(words), known))
        for layer in self.layers:
            hidden = layer(hidden, real, known)
        mean = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return self.output(mean)


class EncoderLayer(nn.Module):
    """Attention, sum, norm, two dense layers, sum, norm."""

    def __init__(self, norm: NormChoice, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.projections = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.attention_norm = norm_between_layers(norm, width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        self.dense_norm = norm_between_layers(norm, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, real: Tensor, lengths: Tensor | None) -> Tensor:
        """``(N, L, width)``; ``real`` (N, L) says to which positions attention may be paid."""
        queries, keys, values = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.projections(hidden).chunk(3, dim=2)
        )
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=real[:, None, None, :])
        added = hidden + self.dropout(self.mix(attended.transpose(1, 2).flatten(2)))
        hidden = normalise_sequences(self.attention_norm, added, lengths)
        added = hidden + self.dropout(self.narrow(F.gelu(self.widen(hidden))))
        return normalise_sequences(self.dense_norm, added, lengths)


def _positions(words: Tensor) -> Tensor:
    """(L, width): sines and cosines of wavelengths from 2π to 20,000π words, as large as word vectors begin."""
    length, width = words.shape[1:]
    exponents = torch.arange(0, width, 2, device=words.device) / width
    angles = torch.arange(length, device=words.device)[:, None] * 10_000.0**-exponents
    return 0.25 * torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).to(words)
