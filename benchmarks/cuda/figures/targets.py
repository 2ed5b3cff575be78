"""The figures to reach, and what was measured of each."""

import math
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any

from benchmarks.cuda.figures.operators import mean_ratio

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        case: What is measured.
        bound: The figure to reach.
        measured: What was measured; NaN where it was not.
        detail: The least of several cases, or why there is no figure.
        at_most: Whether the figure must be below the bound.
        shapes: Those that a mean is over.
        dry_run: Whether it was measured in small, which says nothing of the bound.
    """

    case: str
    bound: float
    measured: float
    detail: str = ""
    at_most: bool = False
    shapes: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def verdict(self) -> str:
        """ "reached", "falls short", "not measured" or "dry run"."""
        if math.isnan(self.measured):
            return "not measured"
        if self.dry_run:
            return "dry run"
        reached = self.measured <= self.bound if self.at_most else self.measured >= self.bound
        return "reached" if reached else "falls short"


def figures(rows: Rows, dry_run: bool = False) -> list[Figure]:
    """Return the table of the rows that all sections have written."""
    return [replace(figure, dry_run=dry_run) for figure in _figures(rows)]


def _figures(rows: Rows) -> list[Figure]:
    large = [
        row
        for row in rows
        if str(row.get("group", "")).startswith("relu bfloat16 N")
        and row["megabytes"] >= 100
        and row.get("limit_share")
    ]
    shares = [row["limit_share"] for row in large]
    share = math.prod(shares) ** (1 / len(shares)) if shares else math.nan
    return [
        *_of_group(rows, "BN+ReLU, bf16, channels last", "relu bfloat16 NHWC", 2.2, 1.5),
        *_of_group(rows, "BN+ReLU, bf16, contiguous", "relu bfloat16 NCHW", 4.2, 1.5),
        *_of_group(rows, "BN+add+ReLU, bf16, channels last", "add_relu bfloat16 NHWC", 2.0),
        *_of_group(rows, "BN+add+ReLU, bf16, contiguous", "add_relu bfloat16 NCHW", 3.8),
        *_of_group(rows, "BN+ReLU, float32, channels last", "relu float32 NHWC", 1.7),
        *_of_group(rows, "BN+ReLU, float32, contiguous", "relu float32 NCHW", 2.3),
        *_of_rows("over torch.compile of the same, bf16, channels last", _with(rows, "compile"), 1.2, 1.0),
        Figure(
            "share of the limit at 100 MB and more, BN+ReLU, bf16, mean",
            0.8,
            share,
            f"least {min(shares):.2f} of {len(shares)}" if shares else "",
            shapes=_shapes(large),
        ),
        *_of_host(rows),
        *(
            _of_step(rows, f"ResNet-50 step, {text}", title, how, bound)
            for text, title, how, bound in (
                ("channels last, accelerated, called", "NHWC eager over accelerated", "called", 1.3),
                (
                    "channels last, accelerated, CUDA graph, over eager called",
                    "NHWC eager over accelerated",
                    "both",
                    1.5,
                ),
                ("contiguous, accelerated, called", "NCHW eager over accelerated", "called", 1.6),
                (
                    'backend="normwise" over torch.compile, called',
                    "NHWC compile over normwise backend",
                    "called",
                    1.05,
                ),
                (
                    'backend="normwise" over torch.compile, graph',
                    "NHWC compile over normwise backend",
                    "graph",
                    1.05,
                ),
            )
        ),
        Figure(
            "memory kept for backward, BN+leaky ReLU, inplace=True, over eager's",
            0.51,
            next((row["share"] for row in rows if "memory" in row), math.nan),
            "the statistics come on top of a half",
            True,
        ),
        Figure(
            "on the CPU: ResNet-20 step, ours under torch.compile over it alone",
            1.05,
            math.nan,
            'the best of backend="normwise" and accelerate; '
            "python benchmarks/training/training_step.py --compile measures it",
        ),
    ]


def _of_host(rows: Rows) -> list[Figure]:
    """Return one figure for each type of the input."""
    found: list[Figure] = []
    for kind in ("float32", "bfloat16"):
        name = f"forward and backward, {kind}"
        row = next((row for row in rows if row.get("host") == name), None)
        measured = math.nan if row is None else 1 / row["ratio"]
        detail = "" if row is None else f"{row['ours_us']:.0f} over {row['torch_us']:.0f} µs"
        found.append(
            Figure(f"host time of a call over eager's, (60, 100), {name}", 1.0, measured, detail, True)
        )
    return found


def _with(rows: Rows, key: str) -> Rows:
    return [row for row in rows if key in row]


def _of_group(rows: Rows, case: str, group: str, bound: float, least: float | None = None) -> list[Figure]:
    return _of_rows(case, [row for row in rows if row.get("group") == group], bound, least)


def _of_rows(case: str, rows: Rows, bound: float, least: float | None = None) -> list[Figure]:
    mean, lowest, count = mean_ratio(rows)
    missing = f", {len(rows) - count} without a figure" if len(rows) > count else ""
    measured = _shapes([row for row in rows if row.get("ratio")])
    found = [Figure(f"{case}, mean", bound, mean, f"of {count} shapes{missing}", shapes=measured)]
    if least is not None:
        found.append(Figure(f"{case}, least", least, lowest, shapes=measured))
    return found


def _shapes(rows: Rows) -> tuple[str, ...]:
    """Return each shape once, as rows name it: as numbers, or in words with the order behind it."""
    names = (
        row["shape"].split(" ")[0] if isinstance(row["shape"], str) else "×".join(map(str, row["shape"]))
        for row in rows
        if "shape" in row
    )
    return tuple(dict.fromkeys(names))


def _of_step(rows: Rows, case: str, title: str, how: str, bound: float) -> Figure:
    by_how = {row.get("how"): row for row in rows if row.get("step") == title}
    called, graph = by_how.get("called", {}), by_how.get("graph", {})
    if how == "both" and "ms" in called and "ms" in graph:
        return Figure(
            case, bound, called["ms"][0] / graph["ms"][1], f"eager as a graph {graph['ms'][0]:.1f} ms"
        )
    row = by_how.get(how) or by_how.get(None) or called or graph
    if "ratio" in row:
        first, second = row["ms"]
        return Figure(case, bound, row["ratio"], f"{first:.1f} over {second:.1f} ms")
    return Figure(case, bound, math.nan, str(row.get("error", "")))


def table(found: list[Figure]) -> str:
    """Return the figures as lines of text, and below them the shapes that a letter in brackets stands for."""
    means = dict.fromkeys(figure.shapes for figure in found if figure.shapes)
    letters = dict(zip(means, ascii_lowercase, strict=False))
    lines = [f"{'figure':75} {'to reach':>9} {'measured':>9}  verdict"]
    for figure in found:
        sign = "≤" if figure.at_most else "≥"
        measured = "-" if math.isnan(figure.measured) else f"{figure.measured:.2f}"
        detail = f" ({figure.detail})" if figure.detail else ""
        detail += f" [{letters[figure.shapes]}]" if figure.shapes else ""
        lines.append(
            f"{figure.case:75} {sign + f' {figure.bound:g}':>9} {measured:>9}  {figure.verdict}{detail}"
        )
    for shapes, letter in letters.items():
        lines.append(f"[{letter}] over the shapes {', '.join(shapes)}")
    return "\n".join(lines)
