"""Calibration with compiled, half and frozen models, with loaders that draw, and with several processes."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader

import normwise
from normwise.errors import ArgumentError, ModelError
from normwise.statistics import calibrate


def _pair(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.get_buffer("running_mean"), layer.get_buffer("running_var")


class _Drawing:
    """Batches with noise from all three global generators."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.drawn = images, []

    def __iter__(self) -> Iterator[Tensor]:
        own = [torch.rand(()).item() + random.random() + np.random.rand() for _ in range(2)]  # noqa: NPY002
        self.drawn.append(own)
        yield from (part + noise for part, noise in zip(self.images.split(12), own, strict=True))


def test_every_pass_gets_the_same_batches_from_a_loader_that_draws(
    deep: nn.Sequential, images: Tensor
) -> None:
    data = _Drawing(images)
    calibrate(deep, data)
    assert len(data.drawn) == 2
    assert data.drawn[0] == data.drawn[1]


def test_the_random_state_is_as_it_was(deep: nn.Sequential, images: Tensor) -> None:
    def drawn() -> list[float]:
        return [torch.rand(()).item(), random.random(), np.random.rand()]  # noqa: NPY002

    def seed() -> None:
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002

    seed()
    before = drawn()
    seed()
    # Its stub wants a Dataset; a list of tensors is one to it.
    calibrate(deep, DataLoader(list(images), batch_size=5, shuffle=True))  # pyright: ignore[reportArgumentType]
    calibrate(deep, _Drawing(images))
    assert drawn() == before


class _Counting(nn.Module):
    """Has a buffer of its own that a forward pass moves."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2).double()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("calls").add_(1)
        return self.norm(x)


def test_other_buffers_are_as_they_were(images: Tensor) -> None:
    model = _Counting()
    calibrate(model, images)
    assert model.get_buffer("calls") == 0
    torch.testing.assert_close(model.norm.running_mean, images.mean((0, 2, 3)))


class _Wrapped(nn.Module):
    """A forward that is ours: torch's own, of nn.Sequential, is not compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x))


def test_a_compiled_model_is_calibrated_without_compiling_it_anew(images: Tensor) -> None:
    compiled = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    plain = _Wrapped().double()
    other = copy.deepcopy(plain)
    plain.compile(backend=backend)
    plain.eval()(images)
    report = calibrate(plain, images.split(9))
    assert len(compiled) == 1
    calibrate(other, images.split(9))
    assert [layer.calibrated for layer in report.layers] == [True]
    torch.testing.assert_close(_pair(plain.body[1]), _pair(other.body[1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_a_model_of_halves_gets_the_data_rounded_once(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, data = nn.BatchNorm1d(3).to(dtype), (2 + 3 * torch.randn(50, 3)).to(dtype)
    calibrate(layer, data.split(16))
    torch.testing.assert_close(
        _pair(layer), (data.double().mean(0).to(dtype), data.double().var(0).to(dtype))
    )


def test_a_variance_that_half_precision_cannot_hold_is_said(state) -> None:
    model = nn.Sequential(nn.BatchNorm1d(2).half())
    before = state(model)
    with pytest.raises(
        ModelError, match=r"BatchNorm1d '0' keeps its statistics in torch.float16, which can't hold"
    ):
        calibrate(model, torch.tensor([[-1000.0, 1], [1000, 2]]).half())
    assert state(model) == before


@torch.no_grad()
def test_frozen_layers_are_left_alone_unless_asked(images: Tensor) -> None:
    model = nn.Sequential(nn.BatchNorm2d(2).double(), nn.BatchNorm2d(2).double())
    normwise.freeze(model[0])
    before = copy.deepcopy(_pair(model[0]))
    report = calibrate(model, images)
    torch.testing.assert_close(_pair(model[0]), before, rtol=0, atol=0)
    assert [layer.reason for layer in report.layers] == [
        "it is frozen (include_frozen=True calibrates it, too)",
        "",
    ]
    calibrate(model, images, include_frozen=True)
    torch.testing.assert_close(model[0].get_buffer("running_mean"), images.mean((0, 2, 3)))


class FrozenBatchNorm2d(nn.Module):
    """As vision libraries have it: four buffers, and nothing that moves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value, dtype=torch.float64))

    def forward(self, input: Tensor) -> Tensor:
        mean, variance = _pair(self)
        return nn.functional.batch_norm(input, mean, variance, eps=self.eps)


@pytest.mark.parametrize("asked", [False, True])
def test_the_frozen_layers_of_others_too(images: Tensor, asked: bool) -> None:
    model = FrozenBatchNorm2d(2)
    report = calibrate(model, images, include_frozen=asked)
    assert report.layers[0].calibrated == asked
    expected = images.mean((0, 2, 3)) if asked else torch.zeros(2, dtype=torch.float64)
    torch.testing.assert_close(model.get_buffer("running_mean"), expected)


def test_values_that_are_not_finite_name_layer_channel_and_batch(
    deep: nn.Sequential, images: Tensor, state
) -> None:
    batches, before = list(images.clone().split(9)), state(deep)
    batches[1][3, 1, 0, 0] = float("nan")
    text = r"batch 1 \(counted from 0\) gives channel 0 of \w*BatchNorm2d '1' values that are not finite"
    with pytest.raises(ModelError, match=text):
        calibrate(deep, batches)
    assert state(deep) == before


def test_a_batch_that_fails_is_named(deep: nn.Sequential, images: Tensor) -> None:
    with pytest.raises(ModelError, match=r"the model fails on batch 1 \(counted from 0\): .*channels"):
        calibrate(deep, [images, images[:, :1]])


def test_a_layer_that_does_not_know_its_channels_is_refused() -> None:
    model = nn.Sequential(nn.LazyBatchNorm1d())
    with pytest.raises(
        ArgumentError, match="LazyBatchNorm1d '0' has not been initialised: call the model once"
    ):
        calibrate(model, torch.randn(3, 2))


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), nn.BatchNorm1d(2)
    ).double()


def _data() -> list[Tensor]:
    torch.manual_seed(1)
    return [i + torch.randn(n, 3, dtype=torch.float64) for i, n in enumerate([5, 9, 1, 4])]


def _process(rank: int, folder: str, fails: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model, data = _network(), _data()
    # The first has three batches, the second has one.
    own = data[:3] if rank == 0 else data[3:]
    if fails and rank == 1:
        own = [own[0][:, :2]]
    try:
        report = calibrate(model, own, group=dist.group.WORLD)
        torch.save((model.state_dict(), report.batches), f"{folder}/{rank}")
    except ModelError as error:
        Path(folder, f"{rank}").write_text(str(error))
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_several_processes_have_the_statistics_of_all_their_data(tmp_path: Path) -> None:
    # Pain 16, https://github.com/pytorch/pytorch/issues/13711: each process kept its own, and one was saved.
    spawn(_process, (str(tmp_path), False), nprocs=2)
    alone = _network()
    calibrate(alone, _data())
    for rank in range(2):
        state, batches = torch.load(tmp_path / str(rank), weights_only=True)
        torch.testing.assert_close(state, dict(alone.state_dict()), rtol=1e-12, atol=1e-12)
        assert batches == 4


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_a_process_that_fails_lets_none_of_them_wait(tmp_path: Path) -> None:
    spawn(_process, (str(tmp_path), True), nprocs=2)
    assert (
        "process 1 of the group failed: ModelError: the model fails on batch 0"
        in (tmp_path / "0").read_text()
    )
    assert (tmp_path / "1").read_text().startswith("the model fails on batch 0")
