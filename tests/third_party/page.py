"""The page ``docs/models.md``: what each operation does to each model of the sweep.

Run: python -m tests.third_party.page > docs/models.md
"""

import os
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator

import torch

from normwise.errors import NormwiseError
from normwise.layers import batch_norms

from .libraries import NAMES, load, versions
from .models import SPECIMENS
from .operations import OPERATIONS, Outcome
from .specimen import Specimen, subject

COMMAND = "make models-page"

_INTRODUCTION = """Made by `{command}` with {versions}.

Models have random weights, and few layers, few channels or small inputs. The running statistics of their BN layers are
those of a batch, moved by some tenths of a standard deviation, so that no operation is trivial. `make models` runs the
same operations as tests. On another batch than the example, of another size, outputs are the same before and after, in
float32 and, where the model computes in it, in float64. So are outputs, gradients and statistics of a training step,
where the operation promises it. The given model, the example and the random state are untouched.

A cell says how many layers were changed, of those that the operation looks at: BN layers, frozen ones included; for
`insert` convolutions and linear layers, "–" where each has its norm already. "activations" and "additions" are how many
layers took over one in `accelerate`."""

#: Columns of counts: the operation and its heading.
_COLUMNS = {
    "fold": "folded",
    "accelerate": "replaced",
    "convert to batch": "to ours",
    "convert to torch": "to torch's",
    "convert to group": "to GroupNorm",
    "convert to frozen": "frozen",
    "calibrate": "calibrated",
    "watch": "watched",
    "remove_biases": "biases removed",
    "insert": "inserted",
}


def main() -> int:
    """Print the page; the exit status is 1 if anything but an expected refusal failed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = {}
    failures: list[str] = []
    for specimen in SPECIMENS:
        try:
            load(specimen.library)
        except ImportError:
            continue
        known = len(failures)
        layers = len(batch_norms(subject(specimen).model))
        rows[specimen] = layers, {name: _run(specimen, name, failures) for name in OPERATIONS}
        print(specimen, *failures[known:], sep="\n  ", file=sys.stderr, flush=True)
    print("\n".join(_lines(rows)))
    return 1 if failures else 0


def _run(specimen: Specimen, name: str, failures: list[str]) -> Outcome | str:
    """Return the effect of an operation, or the reason for none, in one line."""
    try:
        return OPERATIONS[name](subject(specimen).fresh())
    except NormwiseError as error:
        if name not in specimen.refuses:
            failures.append(f"{specimen}, {name}: refused: {error}")
        return f"refused: {str(error).splitlines()[0]}"
    except Exception as error:
        failures.append(f"{specimen}, {name}: {type(error).__name__}: {error}")
        return f"fails: {type(error).__name__}"


def _lines(rows: dict[Specimen, tuple[int, dict[str, Outcome | str]]]) -> Iterator[str]:
    names = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "# What the operations do to other libraries' models"
    yield ""
    yield from _INTRODUCTION.format(command=COMMAND, versions=names).splitlines()
    for library in NAMES:
        own = {specimen: row for specimen, row in rows.items() if specimen.library == library}
        if own:
            yield from ("", f"## {library}", "", *_table(own))
    yield from ("", "## Reasons", "", "Why layers were left, and how many in how many models.")
    for name in OPERATIONS:
        reasons = list(_reasons(rows, name))
        if reasons:
            yield from ("", f"### {name}", "", "| layers | models | reason |", "|---|---|---|", *reasons)


def _table(rows: dict[Specimen, tuple[int, dict[str, Outcome | str]]]) -> Iterator[str]:
    headings = ["model", "BN"]
    for name, heading in _COLUMNS.items():
        headings += [heading, "activations", "additions"] if name == "accelerate" else [heading]
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---|" * len(headings)
    for specimen, (layers, outcomes) in rows.items():
        cells = [specimen.name, str(layers)]
        for name in _COLUMNS:
            outcome = outcomes[name]
            if isinstance(outcome, str):
                cells.append(outcome.split(":")[0])
                cells += ["", ""] if name == "accelerate" else []
                continue
            cells.append(f"{outcome.done} of {outcome.places}" if outcome.places else "–")
            if name == "accelerate":
                cells += [str(outcome.more["activations"]), str(outcome.more["additions"])]
        yield f"| {' | '.join(cells)} |"


def _reasons(rows: dict[Specimen, tuple[int, dict[str, Outcome | str]]], name: str) -> Iterator[str]:
    layers: Counter[str] = Counter()
    models: defaultdict[str, int] = defaultdict(int)
    for _, outcomes in rows.values():
        outcome = outcomes[name]
        left = Counter({outcome: 0}) if isinstance(outcome, str) else outcome.left
        for reason, count in left.items():
            layers[reason] += count
            models[reason] += 1
    for reason, count in layers.most_common():
        yield f"| {count or ''} | {models[reason]} | {reason.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    sys.exit(main())
