"""The page ``docs/doctor/third-party.md``: what the doctor finds in each model of the sweep.

Run: python -m tests.third_party.doctor.page > docs/doctor/third-party.md
"""

import os
import sys
import warnings
from collections.abc import Iterator

import torch

from normwise.records import Examination

from ..libraries import NAMES, load, versions
from ..models import SPECIMENS
from ..specimen import Specimen
from .examined import BATCHES, SAMPLES, STATES, examined, notable

COMMAND = "make models-page"

_INTRODUCTION = """Made by `{command}` with {versions}.

Models have random weights, and few layers, few channels or small inputs; the data are {batches} batches of {samples}
random inputs. Each is examined as it is built, in evaluation; with the statistics of its BN layers measured on the data
(`normwise.calibrate` with `order="training"`, frozen layers included); and then in training mode, with a loss and SGD
with weight decay. A new model in evaluation has BN202, statistics that no batch has moved. Everything else above "info"
is a false alarm, but for what the library itself does: see [below](#what-remains). A cell has the codes of **errors and
warnings**, with the number of layers, and then those of notes."""


def main() -> int:
    """Print the page; the exit status is 1 where a model fails, or has a finding that is not expected."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows: dict[Specimen, list[str]] = {}
    wrong: list[str] = []
    for specimen in SPECIMENS:
        try:
            load(specimen.library)
        except ImportError:
            continue
        rows[specimen] = list(_cells(specimen, wrong))
        print(specimen, *rows[specimen], sep=" | ", file=sys.stderr, flush=True)
    print("\n".join(_lines(rows)))
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


def _cells(specimen: Specimen, wrong: list[str]) -> Iterator[str]:
    for state in STATES:
        try:
            examination = examined(specimen, state)
        except Exception as error:
            wrong.append(f"{specimen}, {state}: {type(error).__name__}: {error}")
            yield f"fails: {type(error).__name__}"
            continue
        unexpected = (
            notable(examination) - set(specimen.findings) - ({"BN202"} if state == STATES[0] else set())
        )
        if unexpected:
            wrong.append(f"{specimen}, {state}: {', '.join(sorted(unexpected))}")
        if state == STATES[0]:
            yield str(len(examination.layers))
        yield _cell(examination)


def _cell(examination: Examination) -> str:
    parts = []
    for finding in examination.findings:
        code = finding.code if finding.severity == "info" else f"**{finding.code}**"
        parts.append(f"{code} ({len(finding.symptoms)})")
    return ", ".join(parts) or "–"


def _lines(rows: dict[Specimen, list[str]]) -> Iterator[str]:
    names = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "# What the doctor finds in other libraries' models"
    yield ""
    yield from _INTRODUCTION.format(
        command=COMMAND, versions=names, batches=BATCHES, samples=SAMPLES
    ).splitlines()
    for library in NAMES:
        own = {specimen: row for specimen, row in rows.items() if specimen.library == library}
        if own:
            yield from (
                "",
                f"## {library}",
                "",
                f"| model | BN | {' | '.join(STATES)} |",
                "|---|---|---|---|---|",
            )
            yield from (f"| {specimen.name} | {' | '.join(row)} |" for specimen, row in own.items())
    yield from (
        "",
        "## What remains",
        "",
        'Findings above "info" that the code of the library is the reason for.',
    )
    yield from ("", "| code | models | reason |", "|---|---|---|")
    yield from _reasons(rows)


def _reasons(rows: dict[Specimen, list[str]]) -> Iterator[str]:
    models: dict[tuple[str, str], list[str]] = {}
    for specimen in rows:
        for code, reason in specimen.findings.items():
            models.setdefault((code, reason), []).append(f"{specimen.library}, {specimen.name}")
    for (code, reason), names in sorted(models.items()):
        yield f"| {code} | {'; '.join(names)} | {reason} |"


if __name__ == "__main__":
    sys.exit(main())
