"""The measured and computed tables of docs/processes/scaling.md.

Run: python -m benchmarks.synchronisation.page build/synchronised.json docs/processes/scaling.md

Replaces what stands between `<!-- name -->` and `<!-- end -->` in the page.
"""

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.synchronisation import scaling_model as model


def machine(found: dict[str, Any]) -> Iterator[str]:
    """Return where and how it was measured."""
    begin, end = found["load"]["begin"][0], found["load"]["end"][0]
    yield (
        f"torch {found['torch'].split('+')[0]}, {found['cores']} cores for all processes, of one thread each, gloo over"
    )
    yield (
        f"the loopback interface; load of the machine {begin:.1f} before and {end:.1f} at the end, the processes' own "
        "included."
    )


def costs(found: dict[str, Any]) -> Iterator[str]:
    """Return the table of times and bytes."""
    yield "| | ranks | | clock, ms | processor, ms | put in, bytes | sent, bytes |"
    yield "|---|---|---|---|---|---|---|"
    for ranks, steps in found["steps"].items():
        for what, rows in (*found["layers"][ranks].items(), ("ResNet-20 under DDP, 64 images", steps)):
            for name, row in rows.items():
                clock, given = row["clock_ms"], [size for _, size in row["given_bytes"]]
                text = " + ".join(f"{size:,}" for size in given) if len(given) < 5 else f"{sum(given):,}"
                wire = "?" if row["sent_bytes"] is None else f"{row['sent_bytes']:,.0f}"
                yield (
                    f"| {what} | {ranks} | {name} | {_short(clock['median'])} [{_short(clock['low'])}, "
                    f"{_short(clock['high'])}] | {_short(row['processor_ms'])} | {text or '0'} | {wire} |"
                )


def errors(found: dict[str, Any]) -> Iterator[str]:
    """Return the table of errors."""
    yield "| | ranks | SyncBatchNorm | averaged |"
    yield "|---|---|---|---|"
    for ranks, of_case in found["errors"].items():
        for case, of_name in of_case.items():
            yield f"| {case} | {ranks} | {of_name['SyncBatchNorm']:.1e} | {of_name['averaged']:.1e} |"


def fitted(found: dict[str, Any]) -> Iterator[str]:
    """Return what was fitted, and layers by it and as measured."""
    links = model.fitted(found, "least")
    yield "| ranks | collective | α of a step, µs | bandwidth, GB/s |"
    yield "|---|---|---|---|"
    for name, (alpha, bandwidth) in links.items():
        ranks, kind = name.split()
        yield f"| {ranks} | {kind} | {1e6 * alpha:.0f} | {bandwidth / 1e9:.2f} |"
    yield ""
    yield "| ranks | both collectives of a layer | computed, ms | measured, ms |"
    yield "|---|---|---|---|"
    for ranks, shape, computed, measured in model.comparison(found, "least"):
        yield f"| {ranks} | {shape} | {_short(1e3 * computed)} | {_short(measured)} |"


def computed(_: dict[str, Any]) -> Iterator[str]:
    """Return the table of large numbers of ranks."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        model.table()
    yield from (line for line in text.getvalue().splitlines() if line.startswith("|"))


PARTS = {part.__name__: part for part in (machine, costs, errors, fitted, computed)}


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def main(arguments: Sequence[str]) -> None:
    """Write the tables into the page."""
    found, page = json.loads(Path(arguments[0]).read_text()), Path(arguments[1])
    text = page.read_text(encoding="utf-8")
    for name, part in PARTS.items():
        block = f"<!-- {name} -->\n" + "\n".join(part(found)) + "\n<!-- end -->"
        text, count = re.subn(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _: block, text, flags=re.S)  # noqa: B023
        if not count:
            raise SystemExit(f"{page} has no place for {name}")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
