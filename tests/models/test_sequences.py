"""Networks for sequences: padding changes nothing, norms stand where they should, weights start equal."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError, ShapeError
from normwise.models import SEQUENCE_NORMS, TASKS, build
from normwise.models.parts.word_embedding import WordEmbedding
from normwise.nn import BatchNormLSTM, LayerNormLSTM, SequenceBatchNorm

LENGTHS = torch.tensor([7, 3, 9, 1, 5])
NETWORKS = ("speech_lstm", "sentiment_bilstm", "text_transformer")
_RECURRENT = ("recurrent_batch", "recurrent_layer")
PAIRS = [
    (network, norm)
    for network, norm in product(NETWORKS, SEQUENCE_NORMS)
    if network != "text_transformer" or norm not in _RECURRENT
]
_SMALL: dict[str, dict[str, Any]] = {
    "speech_lstm": {"max_length": 6},
    "sentiment_bilstm": {"max_length": 6, "width": 8, "dropout": 0.0},
    "text_transformer": {"width": 8, "heads": 2, "depth": 1, "dropout": 0.0},
}


def _network(network: str, norm: Any, classes: int = 3, **options: Any) -> nn.Module:
    size = 4 if network == "speech_lstm" else 11
    return build(network, (size,), classes, norm=norm, **(_SMALL[network] | options)).double()


def _batch(network: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if network == "speech_lstm":
        return torch.randn(5, 9, 4, dtype=torch.float64, generator=generator)
    return torch.randint(1, 11, (5, 9), generator=generator)


def _results(model: nn.Module, sequences: Tensor) -> list[Tensor]:
    """Outputs, gradients and statistics of one batch."""
    outputs = model(sequences=sequences, lengths=LENGTHS)
    F.cross_entropy(outputs, torch.arange(5) % 3).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [outputs, *(each for each in gradients if each is not None), *(b.clone() for b in model.buffers())]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("network", "norm"), [pair for pair in PAIRS if pair[1] != "batch_unmasked"])
def test_more_padding_changes_no_output_no_gradient_and_no_statistic(
    network: str, norm: str, training: bool
) -> None:
    sequences = _batch(network)
    # Whatever is behind the end: 3 is a word as well as a feature.
    more = torch.cat([sequences, torch.full_like(sequences, 3)], dim=1)
    without, with_more = (
        _results(_network(network, norm).train(training), batch) for batch in (sequences, more)
    )
    assert len(without) == len(with_more) > 5
    for one, other in zip(without, with_more, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-11)


@pytest.mark.parametrize("network", NETWORKS)
def test_without_a_mask_padding_changes_the_outputs_in_training(network: str) -> None:
    sequences = _batch(network)
    model = _network(network, "batch_unmasked")
    more = torch.cat([sequences, torch.zeros_like(sequences)], dim=1)
    outputs = [model(sequences=batch, lengths=LENGTHS) for batch in (sequences, more)]
    assert not torch.allclose(*outputs)


@pytest.mark.parametrize(("network", "norm"), PAIRS)
def test_in_evaluation_a_sequence_alone_is_what_it_is_among_others(network: str, norm: str) -> None:
    model, sequences = _network(network, norm).eval(), _batch(network)
    together = model(sequences=sequences, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model(sequences=sequences[row : row + 1, :length])
        assert torch.allclose(alone[0], together[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("classes", "outputs"), [(2, 1), (3, 3)])
@pytest.mark.parametrize("network", ["sentiment_bilstm", "text_transformer"])
def test_two_classes_of_text_are_one_output(network: str, classes: int, outputs: int) -> None:
    assert _network(network, "none", classes)(sequences=_batch(network)).shape == (5, outputs)


@pytest.mark.parametrize("norm", SEQUENCE_NORMS)
def test_the_norm_stands_between_the_layers_or_within_them(norm: str) -> None:
    model = _network("speech_lstm", norm)
    kinds = {path: type(module) for path, module in model.named_children()}
    within = {"recurrent_batch": BatchNormLSTM, "recurrent_layer": LayerNormLSTM}.get(norm, nn.LSTM)
    between = {"batch": SequenceBatchNorm, "batch_unmasked": SequenceBatchNorm, "layer": nn.LayerNorm}
    assert kinds["first"] is kinds["second"] is within
    assert kinds["first_norm"] is between.get(norm, nn.Identity)
    assert (kinds["second_norm"] is nn.Identity) == (norm not in between)


@pytest.mark.parametrize(("network", "norm"), PAIRS)
def test_with_every_norm_the_weights_are_the_same(network: str, norm: str) -> None:
    plain = dict(_network(network, "none").named_parameters())
    other = dict(_network(network, norm).named_parameters())
    weights = [name for name in plain if "bias" not in name]
    assert all(torch.equal(plain[name], other[name]) for name in weights)
    assert len(weights) > 3


def test_the_seed_changes_them() -> None:
    first, second = (_network("speech_lstm", "recurrent_batch", seed=seed) for seed in (0, 1))
    assert not torch.equal(
        first.get_parameter("first.weight_hh_l0"), second.get_parameter("first.weight_hh_l0")
    )


def test_a_factory_gets_channels_before_positions() -> None:
    seen: list[torch.Size] = []

    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.shape)
            return 2 * x

    _network("speech_lstm", lambda channels, axes: Doubling())(sequences=_batch("speech_lstm"))
    assert seen == [(5, 128, 9), (5, 64)]


def test_an_image_is_read_row_by_row() -> None:
    model = build("row_lstm", (2, 5, 3), 4, norm="none").double()
    images = torch.randn(6, 2, 5, 3, dtype=torch.float64)
    rows = torch.stack([images[:, :, row].flatten(1) for row in range(5)], dim=1)
    _, (last, _) = model.get_submodule("rows")(rows)
    assert torch.allclose(model(images), model.get_submodule("output")(last[0]), rtol=0, atol=1e-12)


def test_word_vectors_of_a_file_are_taken_where_it_has_them() -> None:
    embedding = WordEmbedding(4, 2)
    before = embedding.weight.detach().clone()
    vectors = torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, 6.0], [0.0, 0.0]])
    embedding.begin_with(vectors, torch.tensor([False, False, True, False]))
    assert embedding.weight[2].tolist() == [5, 6]
    assert torch.equal(embedding.weight[[0, 1, 3]], before[[0, 1, 3]])
    assert not embedding.weight[0].any()
    with pytest.raises(ModelError, match="have 3 dimensions, but the network's have 2; give it width=3"):
        embedding.begin_with(torch.zeros(4, 3), torch.ones(4, dtype=torch.bool))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (
            "speech_lstm",
            {"norm": "group"},
            "speech_lstm can't have the norm 'group'; it can have batch, batch_unm",
        ),
        (
            "text_transformer",
            {"norm": "recurrent_batch"},
            "text_transformer can't have the norm 'recurrent_batch'",
        ),
        (
            "sentiment_bilstm",
            {"norm": "batch", "dropout": 1.0},
            "dropout must be at least 0 and below 1, got 1.0",
        ),
        (
            "text_transformer",
            {"norm": "layer", "heads": 3},
            "an even width that 3 heads can share equally, got 8",
        ),
    ],
)
def test_what_a_network_cannot_have_is_one_error(network: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _network(network, **options)


@pytest.mark.parametrize(
    ("network", "sequences", "lengths", "message"),
    [
        ("speech_lstm", torch.zeros(2, 5, 3), None, r"expected frames of shape \(N, L, 4\), got \(2, 5, 3\)"),
        ("speech_lstm", torch.zeros(2, 5, 4), torch.tensor([5]), r"expected lengths of shape \(2,\)"),
        (
            "speech_lstm",
            torch.zeros(2, 5, 4),
            torch.tensor([5, 0]),
            "expected lengths from 1 to 5, got 0 to 5",
        ),
        (
            "sentiment_bilstm",
            torch.zeros(2, 5),
            None,
            r"expected whole numbers of shape \(N, L\), tokens, got torch.float32",
        ),
        ("text_transformer", torch.tensor([[3, 11]]), None, "expected tokens from 0 to 10, got 3 to 11"),
    ],
)
def test_a_wrong_batch_is_one_error(
    network: str, sequences: Tensor, lengths: Tensor | None, message: str
) -> None:
    with pytest.raises(ShapeError, match=f"{network}: {message}"):
        _network(network, "none")(sequences, lengths)


def test_a_network_is_for_one_task() -> None:
    with pytest.raises(ModelError, match="unknown model 'mnist_cnn' for text; known are sentiment_bilstm"):
        build("mnist_cnn", (11,), 2, task="text")
    with pytest.raises(ModelError, match=r"speech_lstm can't be built for inputs of shape \(1, 28, 28\)"):
        build("speech_lstm", (1, 28, 28), 10)
    assert set(TASKS) == {"image", "speech", "text"}
