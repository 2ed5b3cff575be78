"""A benchmark of small cases: what is measured, and what is shown of it."""

import math

import pytest
import torch
from rich.console import Console

from normwise.benchmark import CASES, Case, run_benchmark
from normwise.benchmark.bandwidth import bandwidth, limit_seconds
from normwise.benchmark.cases import contestants
from normwise.kernels import in_use
from normwise.kernels.cpu import library
from normwise.records import Bandwidth, Benchmark, from_plain, to_plain
from normwise.report import benchmark_page, benchmark_table

SMALL = (
    Case("relu", (8, 16, 4, 4)),
    Case("relu", (8, 16, 4, 4), channels_last=True),
    Case("add_relu", (8, 16, 4)),
    Case("plain", (8, 16), dtype=torch.bfloat16),
    Case("eval_relu", (8, 16, 4, 4)),
)


@pytest.fixture(scope="module")
def benchmark() -> Benchmark:
    return run_benchmark(SMALL, allocator="malloc was left as it is")


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.title}, {case.layout}")
def test_all_contestants_do_the_same_work(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # What a call computes is caught where it ends: behind the last operator, before the gradient.
    outputs: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "backward", lambda y, _: outputs.append(y.detach().float()))
    theirs, ours = contestants(case)
    for call in (*theirs, ours):
        call()
    if not case.work.startswith("eval"):
        assert len(outputs) == len(theirs) + 1
        for output in outputs[:-1]:
            torch.testing.assert_close(output, outputs[-1], rtol=2e-2, atol=2e-2)


def test_every_case_is_measured(benchmark: Benchmark) -> None:
    assert [comparison.shape for comparison in benchmark.comparisons] == [case.layout for case in SMALL]
    for comparison in benchmark.comparisons:
        assert comparison.repetitions >= 15
        assert 0 < comparison.low <= comparison.ratio <= comparison.high
        assert comparison.torch_ms > 0
        assert comparison.ours_ms > 0


def test_the_share_of_the_limit_is_that_of_the_kernels_in_float32_training(benchmark: Benchmark) -> None:
    measured = [not math.isnan(comparison.limit_share) for comparison in benchmark.comparisons]
    assert measured == [library.library is not None] * 2 + [False] * 3


def test_device_and_backend_are_noted(benchmark: Benchmark) -> None:
    assert benchmark.device == benchmark.environment.processor
    assert not benchmark.on_gpu
    expected = in_use().removeprefix("CPU: ").split("; CUDA")[0]
    if library.library is None:
        expected = "torch's operators"
    assert {comparison.backend for comparison in benchmark.comparisons} == {expected}
    assert all(math.isnan(comparison.ours_host_us) for comparison in benchmark.comparisons)


def test_a_record_from_before_devices_were_noted_is_read(benchmark: Benchmark) -> None:
    plain = to_plain(benchmark)
    for name in ("device", "on_gpu"):
        del plain[name]
    for comparison in plain["comparisons"]:
        for name in ("torch_host_us", "ours_host_us", "backend"):
            del comparison[name]
    back = from_plain(Benchmark, plain)
    assert back.device == ""
    assert benchmark_page(back).startswith("<!doctype html>")


def test_bandwidth_is_a_positive_number() -> None:
    found = bandwidth(1 << 16)
    assert found.megabytes == 1 / 16
    assert min(found.read, found.copy, found.triad) > 0


@pytest.mark.parametrize(
    ("channels_last", "seconds"), [(False, 2 / 4 + 3 / 3), (True, 2 / 4 + 3 / 3 + 3 / 2)]
)
def test_limit_is_what_memory_takes_for_what_must_be_read_and_written(
    channels_last: bool, seconds: float
) -> None:
    case = Case("relu", (10, 10, 10, 250), channels_last)  # a megabyte
    assert limit_seconds(case, [Bandwidth(1.0, read=2.0, copy=4.0, triad=3.0)]) == pytest.approx(
        seconds / 1e3
    )


def test_record_comes_back_from_json(benchmark: Benchmark) -> None:
    back = from_plain(Benchmark, to_plain(benchmark))
    assert to_plain(back) == to_plain(benchmark)


def test_table_has_a_row_for_each_case_at_80_columns(benchmark: Benchmark) -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(benchmark_table(benchmark))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    for case in SMALL:
        assert case.layout in text


def test_page_has_a_figure_for_each_kind_of_work(benchmark: Benchmark) -> None:
    page = benchmark_page(benchmark)
    assert page.startswith("<!doctype html>")
    assert page.count('class="plot"') == len({case.title for case in SMALL})


def test_the_cases_of_the_command_cover_both_orders_and_both_types() -> None:
    assert {case.channels_last for case in CASES} == {False, True}
    assert {case.dtype for case in CASES} == {torch.float32, torch.bfloat16}
