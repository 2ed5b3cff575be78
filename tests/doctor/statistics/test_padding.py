"""BN207: padding in the statistics."""

import torch
from torch import Tensor, nn

import normwise


class _Tagger(nn.Module):
    """Embedding, BN over (N, C, L) or rows (N·L, C), and scores."""

    def __init__(self, norm: nn.Module, rows: bool = False) -> None:
        super().__init__()
        self.embed, self.norm, self.head, self.rows = nn.Embedding(50, 8), norm, nn.Linear(8, 3), rows

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if self.rows:
            x = self.norm(x.flatten(0, 1)).view(x.shape)
        elif isinstance(self.norm, normwise.nn.BatchNorm1d):
            x = self.norm(x.transpose(1, 2), mask=tokens != 0).transpose(1, 2)
        else:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.head(x.mean(1))


def _tokens(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 50, (32, 20), generator=generator)
    for sequence, length in zip(tokens, torch.randint(4, 21, (32,), generator=generator), strict=True):
        sequence[length:] = 0
    return tokens


def _found(model: nn.Module, data) -> list[str]:
    return [finding.code for finding in normwise.diagnose(model.eval(), data, select=["BN207"]).findings]


def test_padded_tokens_are_found() -> None:
    assert _found(_Tagger(nn.BatchNorm1d(8)), _tokens()) == ["BN207"]


def test_padded_rows_are_found() -> None:
    assert _found(_Tagger(nn.BatchNorm1d(8), rows=True), _tokens()) == ["BN207"]


def test_padding_in_front_is_found() -> None:
    assert _found(_Tagger(nn.BatchNorm1d(8)), _tokens().flip(1)) == ["BN207"]


def test_a_masked_layer_is_no_finding() -> None:
    assert _found(_Tagger(normwise.nn.BatchNorm1d(8)), _tokens()) == []


def test_sequences_of_one_length_are_no_finding() -> None:
    assert _found(_Tagger(nn.BatchNorm1d(8)), torch.randint(1, 50, (32, 20))) == []


def test_strided_convolutions_are_followed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.AdaptiveAvgPool1d(1))
    x = torch.randn(32, 3, 40) + 2
    for sequence, length in zip(x, torch.randint(8, 41, (32,)), strict=True):
        sequence[:, length:] = 0
    assert _found(model, x) == ["BN207"]


def test_rows_of_images_are_no_sequences_with_padding(images: tuple[Tensor, Tensor]) -> None:
    x = nn.functional.pad(images[0][:64, 0], (4, 4, 4, 4))  # dark borders, as MNIST has
    assert _found(nn.Sequential(nn.Conv1d(16, 8, 3), nn.BatchNorm1d(8)), x) == []
    assert _found(nn.Sequential(nn.Conv1d(16, 8, 3), nn.BatchNorm1d(8)), x.transpose(1, 2)) == []


def test_images_are_no_sequences(images: tuple[Tensor, Tensor]) -> None:
    x = nn.functional.pad(images[0][:64], (0, 4, 0, 4))
    assert _found(nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)), x) == []
