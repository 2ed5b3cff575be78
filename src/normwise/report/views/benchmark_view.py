"""Content of a benchmark's report: its cases as rows and figures, the machine as names and values."""

from normwise.records import Benchmark, Comparison, Figure, Series
from normwise.report.numbers import number, span
from normwise.report.views.study_view import environment_rows

BENCHMARK_TITLE = "Batch normalization: how fast it is on this machine"


def benchmark_summary(benchmark: Benchmark) -> str:
    """Return what was measured, in sentences."""
    repetitions = min((c.repetitions for c in benchmark.comparisons), default=0)
    place = f" on {benchmark.device}" if benchmark.device else ""
    served = " and ".join(dict.fromkeys(c.backend for c in benchmark.comparisons if c.backend))
    begun = (
        f"{len(benchmark.comparisons)} cases{place}, torch's layers and ours in turn in one process, medians of "
        f"{repetitions} repetitions; with ReLU the better of torch's in place and not. Ratio: torch's time over "
        "ours, with its 10th and 90th percentile. Limit: the time in which memory could transfer what must be read "
        "and written. "
    )
    if benchmark.on_gpu:
        begun += (
            "Times are the GPU's, in microseconds, of replayed CUDA graphs; the host's are those until a call is in "
            "the GPU's queue, torch's and ours. "
        )
    parts = [] if benchmark.on_gpu else [f"{benchmark.threads} threads"]
    parts += [f"ours computed by {served}"] if served else []
    told = "; ".join([*parts, f"kernels: {benchmark.kernels}", benchmark.allocator])
    return f"{begun}{told[:1].upper()}{told[1:]}."


def benchmark_header(benchmark: Benchmark) -> tuple[str, ...]:
    """Return the names of the columns; a GPU's times are in microseconds, "host" has torch's and ours."""
    if benchmark.on_gpu:
        return "Case", "Shape", "torch", "ours", "ratio", "spread", "limit", "host"
    return "Case", "Shape", "torch ms", "ours ms", "ratio", "spread", "of limit"


def comparison_row(comparison: Comparison, benchmark: Benchmark) -> tuple[str, ...]:
    """Return a case as cells, as in :func:`benchmark_header`; the spread is from the 10th to the 90th percentile."""
    unit = 1e3 if benchmark.on_gpu else 1.0
    row = (
        comparison.case,
        comparison.shape,
        number(unit * comparison.torch_ms),
        number(unit * comparison.ours_ms),
        number(comparison.ratio),
        span(comparison.low, comparison.high),
        number(comparison.limit_share),
    )
    if not benchmark.on_gpu:
        return row
    return (*row, f"{comparison.torch_host_us:.0f}/{comparison.ours_host_us:.0f}")


def machine_rows(benchmark: Benchmark) -> tuple[tuple[str, str], ...]:
    """Machine, versions and bandwidth as names and values."""
    return (
        ("Finished", benchmark.date),
        *([("Device", benchmark.device)] if benchmark.device else []),
        ("Kernels", benchmark.kernels),
        ("Allocator", benchmark.allocator),
        ("Threads", str(benchmark.threads)),
        *(
            (
                f"Arrays of {number(found.megabytes)} MiB",
                f"read {number(found.read)}, copy {number(found.copy)}, triad {number(found.triad)} GB/s",
            )
            for found in benchmark.bandwidths
        ),
        *environment_rows(benchmark.environment),
    )


def benchmark_figures(benchmark: Benchmark) -> tuple[Figure, ...]:
    """Return the ratio of each case, with a figure for each kind of work."""
    kinds = list(dict.fromkeys(comparison.case for comparison in benchmark.comparisons))
    return tuple(_figure(kind, [c for c in benchmark.comparisons if c.case == kind]) for kind in kinds)


def _figure(kind: str, comparisons: list[Comparison]) -> Figure:
    shapes = tuple(comparison.shape for comparison in comparisons)
    return Figure(
        name="ratio-" + "".join(letter if letter.isalnum() else "-" for letter in kind.lower()),
        title=f"{kind}: how many times as fast as torch's",
        caption="Median of the ratio of times, with the 10th and 90th percentile; at 1 both take as long.",
        x_label="shape",
        y_label="torch's time over ours",
        lines=False,
        series=(
            Series(
                "ours",
                shapes,
                tuple(c.ratio for c in comparisons),
                tuple(c.low for c in comparisons),
                tuple(c.high for c in comparisons),
            ),
            Series("as fast as torch", shapes, (1.0,) * len(shapes), style=1),
        ),
    )
