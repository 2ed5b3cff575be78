"""Measuring leaves the model and the random states as they were, to the last bit, whatever happens meanwhile."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import normwise
from normwise.errors import ModelError
from normwise.statistics.measure.measure import measure


class _Transposed(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class _ByHand(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        mean, variance = (self.get_buffer(name)[:, None] for name in ("running_mean", "running_var"))
        return (x - mean) / (variance + self.eps).sqrt()


class _AlwaysTraining(nn.BatchNorm1d):
    """Moves its statistics and its counter in evaluation, too."""

    def train(self, mode: bool = True) -> "_AlwaysTraining":
        return super().train(True)


class _Network(nn.Module):
    """Layers of all kinds, for ``(N, 5, 4)``; its forward pass writes and draws whatever it can."""

    def __init__(self) -> None:
        super().__init__()
        self.transposed, self.by_hand, self.training_always = _Transposed(4), _ByHand(5), _AlwaysTraining(5)
        self.plain, self.ours, self.frozen = nn.BatchNorm1d(5), normwise.nn.BatchNorm1d(5), nn.BatchNorm1d(5)
        self.momentless, self.dropout = nn.BatchNorm1d(5, momentum=None), nn.Dropout()
        self.spare = nn.BatchNorm1d(3)
        self.lstm = normwise.nn.BatchNormLSTM(4, 3, batch_first=True, max_length=4)
        self.sequence = normwise.nn.SequenceBatchNorm(3, batch_first=True)
        self.register_buffer("passes", torch.zeros(()), persistent=False)
        self.log: list[float] = []

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        self.get_buffer("passes").add_(1)
        self.log.append(torch.rand(()).item() + random.random() + np.random.rand())  # noqa: NPY002
        self.last = x
        x = self.training_always(self.by_hand(self.transposed(x)))
        x = self.dropout(self.momentless(self.frozen(self.ours(self.plain(x)))))
        return self.sequence(self.lstm(x, lengths=lengths)[0], lengths)


def _network() -> _Network:
    torch.manual_seed(0)
    model = _Network()
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2.0)
        elif "tracked" in name:
            buffer.fill_(7)
    model.train()
    model.plain.eval()
    normwise.freeze(model.frozen)
    model.ours.register_forward_hook(lambda *_: None)
    model.spare.weight.grad = torch.full((3,), 5.0)
    model.spare.bias.requires_grad_(False)
    return model


def _everything(model: nn.Module) -> list[Any]:
    """All that can be told of a model: identities of its parts, bytes of its tensors, modes, hooks, attributes."""
    found: list[Any] = []
    for path, module in model.named_modules():
        found.append((path, id(module), type(module), module.training))
        for name, value in vars(module).items():
            items = list(value.items()) if isinstance(value, dict) else value
            found.append((path, name, id(value), repr(items) if isinstance(value, list) else items))
            found += [
                (
                    path,
                    name,
                    key,
                    id(each),
                    each.requires_grad,
                    each.numpy(force=True).tobytes(),
                    each.grad is None,
                )
                for key, each in (items if isinstance(value, dict) else [])
                if isinstance(each, Tensor)
            ]
    return [repr(each) if not isinstance(each, bytes) else each for each in found]


def _random_states() -> list[Any]:
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return [torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], random.getstate()]


def _batches(outcome: str) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for number in range(3):
        torch.rand(())
        random.random()
        np.random.rand()  # noqa: NPY002
        x = torch.randn(6, 5, 4, generator=generator)
        if number == 1 and outcome == "too many channels":
            x = torch.randn(6, 5, 9)
        if number == 1 and outcome == "not finite":
            x[3] = torch.nan
        if number == 1 and outcome == "interrupt":
            raise KeyboardInterrupt
        yield {"x": x, "lengths": torch.tensor([5, 1, 2, 5, 4, 3])}


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize(
    ("outcome", "error"),
    [("fine", None), ("too many channels", ModelError), ("not finite", ModelError), ("interrupt", KeyboardInterrupt)],
)  # fmt: skip
def test_model_and_random_states_are_bit_for_bit_as_they_were(
    outcome: str, error: type[BaseException] | None, by_batch: bool
) -> None:
    model = _network()
    states, before = _random_states(), _everything(model)
    if error is None:
        measurement = measure(model, _batches(outcome), by_batch=by_batch)
        assert {path for path, seen in measurement.seen.items() if not seen.together.count} == {
            "spare", "training_always",
        }  # fmt: skip
    else:
        with pytest.raises(error):
            measure(model, _batches(outcome), by_batch=by_batch)
    assert _everything(model) == before
    assert _random_states() == states
    assert torch._C._len_torch_function_stack() == 0


def test_a_loader_shuffles_the_next_time_as_if_nothing_had_been_read() -> None:
    generator = torch.Generator().manual_seed(0)
    data: Any = list(torch.randn(20, 3))
    loader = DataLoader(data, batch_size=4, shuffle=True, generator=generator)
    before = generator.get_state()
    measure(nn.BatchNorm1d(3), loader)
    assert torch.equal(generator.get_state(), before)


def test_by_running_statistics_no_tensor_is_even_written_to() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), normwise.nn.BatchNorm1d(4))
    tensors = [*model.parameters(), *model.buffers()]
    x = torch.randn(8, 4)
    loss = model.eval()(x).sum()
    versions = [tensor._version for tensor in tensors]
    measure(model, x.split(3))
    assert [tensor._version for tensor in tensors] == versions
    loss.backward()
