"""A benchmark of a GPU, with a CPU in its place: what is measured of it, and what is shown."""

import time
from dataclasses import dataclass, replace

import pytest
import torch
from rich.console import Console

from normwise.benchmark import CASES, Case, cases_of, gpu_clock, run_benchmark
from normwise.benchmark.bandwidth import limit_seconds
from normwise.benchmark.cases import gpu_cases
from normwise.errors import ArgumentError
from normwise.records import Bandwidth, Benchmark, from_plain, to_plain
from normwise.report import benchmark_page, benchmark_table


@dataclass(frozen=True)
class StandIn(Case):
    """A case that is measured as one of a GPU, on the CPU."""

    @property
    def on_gpu(self) -> bool:
        return True


class ClockEvent:
    """An event of a device that has done whatever it was told to."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.seconds = 0.0

    def record(self) -> None:
        self.seconds = time.perf_counter()

    def elapsed_time(self, other: "ClockEvent") -> float:
        return 1e3 * (other.seconds - self.seconds)


class NoContext:
    def __init__(self, device: str) -> None:
        self.device = device

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


SMALL = (
    StandIn("relu", (8, 16, 4, 4), channels_last=True, dtype=torch.bfloat16),
    StandIn("add_relu", (8, 16, 4)),
    StandIn("eval", (8, 16)),
)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", ClockEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "device", NoContext)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 20, 1 << 21))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Stand-in 1000")
    monkeypatch.setattr(gpu_clock, "graphed", lambda call: call)


@pytest.fixture
def benchmark(stand_in: None) -> Benchmark:
    return run_benchmark(SMALL)


def test_every_case_has_times_of_gpu_and_host(benchmark: Benchmark) -> None:
    assert (benchmark.device, benchmark.on_gpu) == ("Stand-in 1000", True)
    assert [found.megabytes for found in benchmark.bandwidths] == [1 / 8]
    assert [comparison.shape for comparison in benchmark.comparisons] == [case.layout for case in SMALL]
    for comparison in benchmark.comparisons:
        assert 0 < comparison.low <= comparison.ratio <= comparison.high
        assert min(comparison.torch_host_us, comparison.ours_host_us, comparison.limit_share) > 0
        assert comparison.backend


def test_record_comes_back_from_json(benchmark: Benchmark) -> None:
    assert from_plain(Benchmark, to_plain(benchmark)) == benchmark


def test_table_and_page_say_the_device_and_the_host_times(benchmark: Benchmark) -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(benchmark_table(benchmark))
    text, page = capture.get(), benchmark_page(benchmark)
    first = benchmark.comparisons[0]
    for shown in (text, page):
        assert "Stand-in 1000" in shown
        assert "host" in shown
        assert f"{first.torch_host_us:.0f}/{first.ours_host_us:.0f}" in shown
        assert f"Ours computed by {first.backend}" in " ".join(shown.split()).replace("&#39;", "'")


def test_the_widest_shapes_fit_into_80_columns(benchmark: Benchmark) -> None:
    first = replace(benchmark.comparisons[0], torch_ms=0.01276, ours_ms=0.00469, limit_share=0.00123)
    shapes = [case.layout for case in gpu_cases("cuda")]
    wide = replace(
        benchmark,
        comparisons=tuple(
            replace(
                first, shape=shape, low=2.68, high=2.75, ratio=2.7, torch_host_us=182.0, ours_host_us=176.0
            )
            for shape in shapes
        ),
    )
    console = Console(width=80)
    with console.capture() as capture:
        console.print(benchmark_table(wide))
    for shape in shapes:
        assert shape in capture.get()


def test_short_calls_are_repeated_between_two_events(stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], [0, 0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def call(number: int, seconds: float) -> None:
        now[0] += seconds
        calls[number] += 1

    short, long = gpu_clock.event_seconds([lambda: call(0, 1e-5), lambda: call(1, 1e-3)])
    assert short == pytest.approx([1e-5] * 15)
    assert long == pytest.approx([1e-3] * 15)
    assert calls == [3 + 17 * 21, 3 + 17 * 2]
    short, long = gpu_clock.host_seconds([lambda: call(0, 1e-5), lambda: call(1, 1e-3)])
    assert (short, long) == (pytest.approx([1e-5] * 15), pytest.approx([1e-3] * 15))


@pytest.mark.parametrize(("work", "passes"), [("relu", 8), ("plain", 8), ("add_relu", 11), ("eval", 2)])
def test_limit_is_that_of_all_passes_at_the_speed_of_a_copy(work, passes: int) -> None:
    case = StandIn(work, (10, 10, 10, 250))  # a megabyte
    assert limit_seconds(case, [Bandwidth(1.0, read=2.0, copy=4.0, triad=3.0)]) == pytest.approx(
        passes / 4 / 1e3
    )


def test_what_is_measured_is_a_graph_of_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[int] = []
    monkeypatch.setattr(gpu_clock, "graphed", lambda call: graphs.append(1) or (lambda: None))
    monkeypatch.setattr(gpu_clock, "event_seconds", lambda calls: [[1.0] for _ in calls])
    assert gpu_clock.gpu_seconds([lambda: None, lambda: None]) == [[1.0], [1.0]]
    assert len(graphs) == 2


def test_the_cases_of_a_gpu_cover_both_orders_and_three_types() -> None:
    cases = gpu_cases("cuda:1")
    assert {case.device for case in cases} == {"cuda:1"}
    assert {case.channels_last for case in cases} == {False, True}
    assert {case.dtype for case in cases} == {torch.float32, torch.bfloat16, torch.float16}
    assert len(set(cases)) == len(cases)


def test_the_cases_are_those_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert cases_of("cpu") == CASES
    assert {case.device for case in cases_of("cuda")} == {"cuda"}
    assert {case.device for case in cases_of("cuda:1")} == {"cuda:1"}
    with pytest.raises(ArgumentError, match="'cuda:2', and there are 2 CUDA devices here, from cuda:0 on"):
        cases_of("cuda:2")


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:one", "cuda:-1", "cpu:0", "mps"])
def test_another_device_is_one_error(device: str) -> None:
    with pytest.raises(ArgumentError, match="expected cpu, cuda, or cuda with a number, such as cuda:1"):
        cases_of(device)


def test_a_gpu_that_is_not_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ArgumentError, match=r"'cuda', and torch .* finds no CUDA device here\. Use --device cpu"
    ):
        cases_of("cuda")
