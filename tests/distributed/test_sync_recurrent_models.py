"""Models with recurrent layers, synchronised over two processes as users train them."""

import copy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import pack_sequence, pad_sequence
from torch.utils.checkpoint import checkpoint

import normwise
from normwise.distributed import joined
from normwise.errors import ArgumentError
from normwise.layers import kind_of_norm
from normwise.nn import BatchNormLSTM, SequenceBatchNorm
from normwise.nn.recurrent import SyncStepBatchNorm
from tests.support.processes import run

LENGTHS = [[6, 2], [4, 3, 3]]


class Tagger(nn.Module):
    """A label for each frame: a recurrent layer between norms of other kinds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.before = SequenceBatchNorm(3, activation="relu", dtype=torch.float64)
        self.lstm = BatchNormLSTM(3, 4, bidirectional=True, max_length=4, dtype=torch.float64)
        self.label = nn.Linear(8, 2, dtype=torch.float64)

    def forward(self, sequences: list[Tensor]) -> Tensor:
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        frames = self.before(pad_sequence(sequences), lengths)
        return self.label(self.lstm(frames, lengths=lengths)[0])


def _synchronised(model: nn.Module, **settings: Any) -> Any:
    return normwise.convert(model, "sync", **settings)[0]


def _sequences(seed: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(length, 3, generator=generator, dtype=torch.float64) for length in of_rank]
        for of_rank in LENGTHS
    ]


def _whole(seed: int) -> list[Tensor]:
    return [sequence for of_rank in _sequences(seed) for sequence in of_rank]


def _loss(model: nn.Module, sequences: list[Tensor]) -> Tensor:
    """Return a sum over the real frames, each of which has the same weight on whatever rank."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    real = normwise.functional.sequence_mask(lengths).t()
    return model(sequences)[real].square().sum()


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _gradients(model: nn.Module, scale: float = 1.0) -> dict[str, Tensor]:
    return {
        name: scale * parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def _data_parallel(rank: int) -> Any:
    model = DistributedDataParallel(_synchronised(Tagger()))
    for seed in range(2):
        model.zero_grad()
        _loss(model, _sequences(seed)[rank]).backward()
    # DDP has averaged.
    return _state(model.module), _gradients(model.module, 2.0)


def _uneven(rank: int) -> Any:
    model = DistributedDataParallel(_synchronised(Tagger()))
    with joined(model):
        for seed in range(1 + 2 * rank):
            _loss(model, _sequences(seed)[rank]).backward()
    return _state(model.module)


def _checkpointed(rank: int) -> Any:
    found = []
    for reentrant in (None, False, True):
        model = _synchronised(Tagger())
        sequences = _sequences(0)[rank]
        frames = pad_sequence(sequences).requires_grad_()
        lengths = torch.tensor([len(sequence) for sequence in sequences])

        def layers(frames: Tensor, model: Any = model, lengths: Tensor = lengths) -> Tensor:
            return model.lstm(frames, lengths=lengths)[0]

        y = layers(frames) if reentrant is None else checkpoint(layers, frames, use_reentrant=reentrant)
        y.square().sum().backward()
        found.append((_state(model), _gradients(model)))
    return found


def _sequence_norm(rank: int) -> Any:
    """Return output and statistics for lengths, masks, packed sequences, and no sequences on the first rank."""
    found = []
    for form in ("lengths", "mask", "packed", "none"):
        layer = _synchronised(SequenceBatchNorm(3, dtype=torch.float64))
        sequences = _sequences(0)[rank]
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        if form == "packed":
            y = layer(pack_sequence(sequences, enforce_sorted=False)).data
        elif form == "none" and rank == 0:
            y = layer(torch.zeros(5, 0, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
        elif form == "mask":
            y = layer(
                pad_sequence(sequences, padding_value=float("nan")),
                mask=normwise.functional.sequence_mask(lengths).t(),
            )
        else:
            y = layer(pad_sequence(sequences), lengths)
        found.append((y, _state(layer)))
    return found


def _scale(module: nn.Module, args: tuple[Tensor, int]) -> tuple[Tensor, int]:
    return 2 * args[0] + args[0].square(), args[1]


def _hooked(rank: int | None) -> Any:
    """Train a layer of which a hook changes what a norm is given."""
    layer: Any = BatchNormLSTM(3, 4, dtype=torch.float64)
    with torch.no_grad():
        for seed, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    if rank is not None:
        layer = _synchronised(layer)
    layer.norm_ih_l0.register_forward_pre_hook(_scale)
    y = layer(pack_sequence(_whole(0) if rank is None else _sequences(0)[rank], enforce_sorted=False))[0].data
    y.square().sum().backward()
    return _state(layer), _gradients(layer)


def _alone(rank: int) -> Any:
    """Return results of what one rank may do by itself: evaluation, a group of one, and frozen norms."""
    groups = [dist.new_group([member]) for member in range(2)]
    of_one = _synchronised(Tagger(), process_group=groups[rank])
    evaluated = _synchronised(Tagger()).eval()
    frozen = _synchronised(Tagger())
    normwise.freeze(frozen)
    results = []
    if rank == 0:
        for model in (of_one, evaluated, frozen):
            results.append((model(_sequences(0)[0]).detach(), _state(model)))
    dist.barrier()
    mixed = _synchronised(BatchNormLSTM(3, 4))
    mixed.norm_c_l0.process_group = groups[rank]
    mixed.norm_hh_l0.process_group = dist.new_group([0, 1])
    try:
        mixed(torch.zeros(2, 2, 3))
    except ArgumentError as error:
        results.append(str(error))
    return results


def _on_rank(rank: int) -> dict[str, Any]:
    checks = (_data_parallel, _checkpointed, _sequence_norm, _hooked, _alone)
    return {check.__name__: check(rank) for check in checks}


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    return run(_on_rank, 2)


def _close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, atol=1e-9, rtol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_data_parallel_training_is_that_of_one_process(ranks: Any) -> None:
    model = Tagger()
    for seed in range(2):
        model.zero_grad()
        _loss(model, _whole(seed)).backward()
    for of_rank in ranks:
        state, gradients = of_rank["_data_parallel"]
        _close({name.replace("module.", ""): value for name, value in state.items()}, _state(model))
        _close(gradients, _gradients(model))


def test_a_rank_without_further_batches_keeps_the_others_company() -> None:
    model = Tagger()
    for batch in (_whole(0), _sequences(1)[1], _sequences(2)[1]):
        model(batch)
    for state in run(_uneven, 2):
        _close(state, _state(model))


def test_checkpointed_layers_move_statistics_once(ranks: Any) -> None:
    for of_rank in ranks:
        plain, *checkpointed = of_rank["_checkpointed"]
        for state, gradients in checkpointed:
            _close(state, plain[0])
            _close(gradients, plain[1])
        assert plain[0]["lstm.norm_hh_l0.num_batches_tracked"].tolist() == [1, 1, 1, 1]


def test_an_input_that_a_hook_changes_has_its_own_statistics(ranks: Any) -> None:
    state, gradients = _hooked(None)
    for of_rank in ranks:
        _close(of_rank["_hooked"][0], state)
    summed = {name: ranks[0]["_hooked"][1][name] + ranks[1]["_hooked"][1][name] for name in gradients}
    _close(summed, gradients)


def test_norms_between_recurrent_layers_take_real_positions_of_all_ranks(ranks: Any) -> None:
    for form in range(4):
        layer = SequenceBatchNorm(3, dtype=torch.float64)
        both = _sequences(0)[1] if form == 3 else _whole(0)
        packed = layer(pack_sequence(both, enforce_sorted=False))
        for of_rank in ranks:
            _close(of_rank["_sequence_norm"][form][1], _state(layer))
        ys = [of_rank["_sequence_norm"][form][0] for of_rank in ranks]
        found = torch.cat([y.reshape(-1, 3) for y in ys])
        # Padding is 0 in the output, and takes no part in a sum.
        torch.testing.assert_close(found.square().sum(0), packed.data.square().sum(0), atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(found.pow(3).sum(0), packed.data.pow(3).sum(0), atol=1e-9, rtol=1e-9)


def test_a_rank_may_do_by_itself_what_needs_no_statistics_of_others(ranks: Any) -> None:
    of_one, evaluated, frozen = (Tagger() for _ in range(3))
    evaluated.eval()
    normwise.freeze(frozen)
    for model, (y, state) in zip((of_one, evaluated, frozen), ranks[0]["_alone"], strict=False):
        torch.testing.assert_close(y, model(_sequences(0)[0]), atol=1e-9, rtol=1e-9)
        _close(state, _state(model))


def test_norms_of_one_layer_in_several_groups_are_an_error(ranks: Any) -> None:
    for of_rank in ranks:
        assert of_rank["_alone"][-1] == (
            "BatchNormLSTM: expected norms of one process group, got several groups; give them one with "
            'normwise.convert(model, "sync", process_group=...)'
        )


def test_alone_it_is_the_layer_that_it_was() -> None:
    plain, synchronised = Tagger(), _synchronised(Tagger())
    for seed in range(2):
        y, other = plain(_sequences(seed)[1]), synchronised(_sequences(seed)[1])
        torch.testing.assert_close(other, y, atol=0, rtol=0)
    _close(_state(synchronised), _state(plain))
    torch.testing.assert_close(
        synchronised.eval()(_sequences(5)[0]), plain.eval()(_sequences(5)[0]), atol=0, rtol=0
    )
    output, _ = synchronised.lstm(torch.zeros(6, 0, 3, dtype=torch.float64))
    assert output.shape == (6, 0, 8)
    assert isinstance(copy.deepcopy(synchronised).lstm.norm_hh_l0, SyncStepBatchNorm)


def test_each_layer_says_whether_it_is_synchronised() -> None:
    plain, synchronised = Tagger(), _synchronised(Tagger())
    for model, expected in ((plain, False), (synchronised, True)):
        for path in ("before.norm", "lstm.norm_ih_l0", "lstm.norm_c_l0_reverse"):
            assert kind_of_norm(model.get_submodule(path)).traits.synchronised is expected
