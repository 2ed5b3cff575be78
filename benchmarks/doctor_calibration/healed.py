"""The page ``docs/doctor/healed.md``: sick set-ups, and what the doctor made of them."""

import io
import tempfile
import warnings
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

import normwise
from benchmarks.doctor_calibration.page import COMMAND, table
from benchmarks.doctor_calibration.setups import SETUPS, Setup
from benchmarks.doctor_calibration.trained import Trained, trained
from normwise.cli.app import run_command_line
from normwise.records import Environment, Treatment, from_json

_INTRODUCTION = """# Set-ups that the doctor healed

Made by `{command}` with torch {torch}.

Each model was trained on digits, and made sick as users report it (issues of the repositories named). The command
`normwise doctor MODEL --data LOADER --loss LOSS --fix OUT` got the sick model, the training loader and a loss, and the
model that `OUT` was loaded into is the healed one. Accuracies are those on test samples, which the doctor did not see,
measured apart from it: of a model of the same recipe that is well, of the sick model, and of the healed one. The model
that was left in training mode was given without a loss, and healed by `diagnosis.fix()`, since a file of weights holds
no mode. The set-ups were chosen so that they hurt; that of momentum=0.99 did not with larger batches."""

#: Model, loader and loss that the command line is given by name.
GIVEN = SimpleNamespace()


@dataclass(frozen=True)
class Healed:
    """One set-up, before and after.

    Attributes:
        setup: The set-up.
        well: Accuracy of the model that the sick one was made of.
        sick, healed: Accuracy before and after.
        found: Codes of the findings above info, worst first.
        applied: Codes whose fixes were applied.
        proven: Whether the gain was proven.
        reason: The proof, or why there is none.
    """

    setup: Setup
    well: float
    sick: float
    healed: float
    found: tuple[str, ...]
    applied: tuple[str, ...]
    proven: bool
    reason: str


def heal(setup: Setup) -> Healed:
    """Make a model sick, diagnose it and heal it."""
    torch.manual_seed(0)
    base = trained(setup.recipe)
    model = setup.make(base)
    model.train(not setup.evaluates)
    sick = _accuracy(model, base, 64 if setup.evaluates else 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if setup.evaluates:
            healed, treatment = _by_command(model, base)
        else:
            healed, treatment = normwise.diagnose(model, [x for x, _ in base.test()]).fix()
    return Healed(
        setup,
        _accuracy(base.model(), base, 64),
        sick,
        _accuracy(healed, base, 64 if setup.evaluates else 4),
        tuple(one.code for one in treatment.before.findings if one.severity != "info"),
        tuple(one.code for one in treatment.remedies if one.applied),
        treatment.proven,
        treatment.reason,
    )


def _by_command(model: nn.Module, base: Trained) -> tuple[nn.Module, Treatment]:
    """Give a model to the command line, and load what that writes into it."""
    GIVEN.model, GIVEN.loader, GIVEN.loss = model, base.loader(), nn.CrossEntropyLoss()
    names = [f"{__name__}:GIVEN.{name}" for name in ("model", "loader", "loss")]
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(printed):
        out = Path(folder) / "healed.pt"
        run_command_line(
            ["doctor", names[0], "--data", names[1], "--loss", names[2], "--fix", str(out), "--json"]
        )
        if out.exists():
            model.load_state_dict(torch.load(out, weights_only=True))
    return model, from_json(Treatment, printed.getvalue().encode())


def heal_all() -> list[Healed]:
    """Heal all set-ups."""
    return [heal(setup) for setup in SETUPS]


def healed_page(found: Iterable[Healed]) -> str:
    """Return the page."""
    rows = [
        (
            one.setup.words,
            one.setup.recipe.kind,
            ", ".join(one.found) or "none",
            ", ".join(one.applied) or "none",
            f"{one.well:.1%}",
            f"{one.sick:.1%}",
            f"{one.healed:.1%}" if one.proven else f"not healed: {one.reason}",
            one.setup.seen,
        )
        for one in found
    ]
    head = ("set-up", "model", "found", "fixed", "well", "sick", "healed", "reported in")
    introduction = _INTRODUCTION.format(command=COMMAND, torch=Environment.here().torch)
    return f"{introduction}\n\n{table(head, rows)}\n"


def _accuracy(model: nn.Module, base: Trained, batch: int) -> float:
    """Return the accuracy on test samples; the statistics stay as they are."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        scores = torch.cat([model(x) for x in base.test_x.split(batch)])
    model.load_state_dict(kept)
    return (scores.argmax(1) == base.test_y).float().mean().item()
