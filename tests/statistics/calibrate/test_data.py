"""Calibration on what loaders give: streams, loaders that draw, dicts with more than the model takes, arrays."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset

from normwise.errors import ArgumentError, ModelError
from normwise.statistics import calibrate
from normwise.statistics.preserve.random_state import generators_of, random_state_kept

DATA = 5 + torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


def _deep() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.BatchNorm1d(3)
    )


def _statistics(model: nn.Module) -> list[Tensor]:
    return [buffer for name, buffer in model.named_buffers() if "running" in name]


def _assert_same(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(_statistics(one), _statistics(other), rtol=1e-6, atol=1e-6)


class Stream(IterableDataset):
    """Has no length."""

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[Tensor]:
        yield from DATA if self.parts == 1 else DATA.split(self.parts)


@pytest.mark.parametrize("order", ["evaluation", "training"])
@pytest.mark.parametrize("told", [None, lambda *_: None], ids=["quiet", "with progress"])
@pytest.mark.parametrize(
    "make",
    [lambda: DataLoader(Stream(), 10), lambda: DataLoader(Stream(10), batch_size=None)],
    ids=["samples", "batches"],
)
def test_streams_without_a_length(make: Callable[[], Any], order: Any, told: Any) -> None:
    model, expected = _deep(), _deep()
    report = calibrate(model, make(), order=order, progress=told)
    calibrate(expected, DATA.split(10), order=order)
    _assert_same(model, expected)
    assert report.batches == 6
    assert not report.varied


def test_the_length_is_told_where_it_is_known() -> None:
    totals = []
    for data, most in (
        (DataLoader(Stream(), 30), None),
        (DataLoader(Stream(), 30), 1),
        (DATA.split(30), None),
    ):
        calibrate(
            nn.BatchNorm1d(4), data, max_batches=most, progress=lambda _, total, text: totals.append(total)
        )
    assert totals == [None, None, 1, 2, 2]


def test_a_generator_function_is_called_for_each_pass() -> None:
    called = []

    def batches() -> Iterator[Tensor]:
        called.append(1)
        yield from DATA.split(7)

    model, expected = _deep(), _deep()
    report = calibrate(model, batches)
    calibrate(expected, DATA.split(7))
    _assert_same(model, expected)
    assert len(called) == report.passes == 3


def _with_generator() -> DataLoader[Any]:
    return DataLoader(TensorDataset(DATA), 5, shuffle=True, generator=torch.Generator().manual_seed(3))


def _with_sampler() -> DataLoader[Any]:
    dataset = TensorDataset(DATA)
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(3))
    return DataLoader(dataset, 5, sampler=sampler)


class Drawing:
    """Draws with generators of NumPy's or Python's of its own."""

    def __init__(self, generator: Any) -> None:
        self.state = {"generators": [generator]}

    def __iter__(self) -> Iterator[Tensor]:
        generator = self.state["generators"][0]
        for part in DATA.split(5):
            yield part + (generator.random() if hasattr(generator, "random") else generator.rand())


def _closed_over() -> Callable[[], Iterator[Tensor]]:
    generator = torch.Generator().manual_seed(3)

    def batches() -> Iterator[Tensor]:
        for _ in range(5):
            yield DATA[torch.randint(len(DATA), (8,), generator=generator)]

    return batches


def _batches(data: Any) -> Any:
    return data if isinstance(data, (DataLoader, Drawing)) else data()


LOADERS: list[Callable[[], Any]] = [
    _with_generator, _with_sampler, lambda: Drawing(np.random.default_rng(3)),
    lambda: Drawing(np.random.RandomState(3)), lambda: Drawing(random.Random(3)), _closed_over,
]  # fmt: skip
NAMES = ["loader", "sampler", "default_rng", "RandomState", "Random", "closure"]


@pytest.mark.parametrize("make", LOADERS, ids=NAMES)
@pytest.mark.parametrize("most", [None, 3])
def test_each_pass_gets_the_same_batches_from_a_loader_with_a_generator_of_its_own(
    make: Callable[[], Any], most: int | None
) -> None:
    made = make()
    read = [batch[0] if isinstance(batch, list) else batch for batch in (_batches(made))]
    model, expected = _deep(), _deep()
    report = calibrate(model, make(), max_batches=most)
    calibrate(expected, read[:most])
    _assert_same(model, expected)
    assert not report.varied


@pytest.mark.parametrize("make", LOADERS, ids=NAMES)
@pytest.mark.parametrize("fails", [False, True])
def test_its_generator_is_afterwards_where_it_was(make: Callable[[], Any], fails: bool) -> None:
    def drawn(loader: Any) -> list[float]:
        return [float((batch[0] if isinstance(batch, list) else batch).sum()) for batch in _batches(loader)]

    loader = make()
    if fails:
        with pytest.raises(ModelError, match="the model fails"):
            calibrate(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(9, 2)), loader)
    else:
        calibrate(_deep(), loader)
    assert drawn(loader) == drawn(make())


class Counting:
    """Gives other data each time: what it draws from is no generator."""

    def __init__(self) -> None:
        self.times = 0

    def __iter__(self) -> Iterator[Tensor]:
        self.times += 1
        yield from (DATA * self.times).split(20)


def test_data_that_differ_from_pass_to_pass_are_said_to() -> None:
    report = calibrate(_deep(), Counting())
    assert report.varied
    assert "the data gave other batches in each pass" in str(report)
    assert not calibrate(_deep(), Counting(), order="training").varied


def test_the_same_data_in_another_order_do_not_differ() -> None:
    class Reversing(Counting):
        def __iter__(self) -> Iterator[Tensor]:
            self.times += 1
            yield from (DATA if self.times % 2 else DATA.flip(0)).split(20)

    model, expected = _deep(), _deep()
    assert not calibrate(model, Reversing()).varied
    calibrate(expected, DATA)
    _assert_same(model, expected)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, pixels: Tensor, scale: float = 1.0) -> Tensor:
        return self.norm(pixels * scale)


def test_keys_that_forward_does_not_take_are_left_out_and_said() -> None:
    model = Classifier()
    batches = [{"pixels": part, "labels": torch.zeros(len(part)), "scale": 2.0} for part in DATA.split(9)]
    report = calibrate(model, batches)
    torch.testing.assert_close(model.norm.running_mean, 2 * DATA.mean(0))
    assert report.dropped == ("labels",)
    assert "forward has no argument for these keys, left out: labels" in str(report)


def test_arrays_are_batches() -> None:
    model, expected = _deep(), _deep()
    calibrate(model, [part.double().numpy() for part in DATA.split(9)])
    calibrate(expected, DATA.split(9))
    _assert_same(model, expected)


def test_batches_are_not_changed_by_a_model_that_works_in_place() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), *_deep())
    batches = [-part for part in DATA.split(9)]
    before = [batch.clone() for batch in batches]
    calibrate(model, batches)
    assert all(map(torch.equal, batches, before))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (TensorDataset(DATA), "is a data set, which gives single samples"),
        ([DataLoader(TensorDataset(DATA))], r"got DataLoader; pass one batch: next\(iter\(loader\)\)"),
        (lambda: iter([]), "the data have no batches"),
    ],
)
def test_what_is_no_data_is_refused_and_nothing_moves(data: Any, text: str) -> None:
    model, before = _deep(), _deep()
    with pytest.raises(ArgumentError, match=text):
        calibrate(model, data)
    _assert_same(model, before)


@pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
def test_a_distributed_model_does_not_exchange_its_buffers(tmp_path: Any) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model, expected = _deep(), _deep()
        report = calibrate(DistributedDataParallel(model), DATA.split(9))
    finally:
        dist.destroy_process_group()
    calibrate(expected, DATA.split(9))
    _assert_same(model, expected)
    assert [layer.path for layer in report.layers] == ["module.0", "module.2", "module.5"]


def test_generators_are_found_in_what_a_loader_holds_and_nowhere_else() -> None:
    generator = torch.Generator()
    loader = DataLoader(TensorDataset(DATA), sampler=RandomSampler(DATA, generator=generator))
    assert generators_of(loader) == [generator]
    loop: list[Any] = [np.random.default_rng()]
    loop.append(loop)
    assert generators_of(loop) == loop[:1]
    assert generators_of([random.SystemRandom(), None, DATA, "text"]) == []


@settings(max_examples=30, deadline=None)
@given(draws=st.lists(st.integers(0, 4), max_size=6), seed=st.integers(0, 2**32 - 1))
def test_any_generator_goes_back_to_where_it_was(draws: list[int], seed: int) -> None:
    generators: list[Any] = [
        torch.Generator().manual_seed(seed), np.random.default_rng(seed), np.random.RandomState(seed),
        random.Random(seed), random,
    ]  # fmt: skip

    def draw(which: int) -> float:
        if which == 0:
            return torch.rand((), generator=generators[0]).item()
        return generators[which].random()

    with random_state_kept(generators[:4]) as begin:
        first = [draw(which) for which in draws]
        begin()
        assert [draw(which) for which in draws] == first
    assert [draw(which) for which in draws] == first
