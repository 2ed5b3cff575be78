"""``normwise doctor``: find faults of the BN layers of a network, and fix them."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normwise.cli.inputs import arguments
from normwise.cli.inputs.keras.model_file import KERAS
from normwise.cli.output.treatment_output import is_healthy_after, show_treatment
from normwise.cli.terminal import complain, say
from normwise.errors import ArgumentError
from normwise.files import is_folder

if TYPE_CHECKING:
    from normwise.doctor import Diagnosis, Facts, Rule
    from normwise.keras.doctor import Diagnosis as KerasDiagnosis
    from normwise.records import Examination, Treatment

_FINDINGS = 1
_PAGES = (".html", ".htm")


class DoctorFormat(str, Enum):
    """Names of formats."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def doctor(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help=(
                "Network: file.py:name or package.module:name (a model, or a function that makes one), the folder of "
                "a run, a Keras model: .keras, or a checkpoint: .safetensors, .pt, .pth, .ckpt, .onnx. For a "
                "checkpoint without --model only its numbers are examined."
            ),
        ),
    ],
    model: arguments.ModelOption = None,
    data: arguments.DataOption = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=(
                "Loss, as file.py:name: loss(output, target), or loss(model, batch), which calls the model itself. "
                "For a Keras model: loss(target, output), or the name of a Keras loss."
            ),
            show_default=False,
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Optimizer, as file.py:name, or a function that makes it from the model: def optimizer(model).",
            show_default=False,
        ),
    ] = None,
    max_batches: Annotated[int, typer.Option(min=1, max=10**9, help="Batches to read.")] = 20,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="Rules to apply: a code, a name, or the beginning of codes, such as BN2; may be repeated.",
            show_default=False,
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Rules to leave out; may be repeated.", show_default=False),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix",
            metavar="OUT",
            help=(
                "Apply the safe fixes, measure again, and write the weights if the gain is proven: .safetensors, .pt "
                "or .pth; for a Keras model, .keras."
            ),
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write a page with pictures; with --fix, before and after: pip install 'normwise[html]'.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        DoctorFormat,
        typer.Option("--format", "-f", help="github: annotations for a GitHub workflow. sarif: SARIF 2.1.0."),
    ] = DoctorFormat.text,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print one line for each error and warning, and nothing else."),
    ] = False,
    force: arguments.ForceOption = False,
    json: arguments.JsonOption = False,
) -> None:
    """Find what is wrong with the BN layers of a network, with evidence and a fix for each finding.

    The more you give, the more it finds: data show whether the running statistics are right, a loss shows what each
    fault costs, and an optimizer shows what it does to the layers. A network made by a function, or loaded from a
    checkpoint or a run, is examined in evaluation mode unless --loss or --optimizer is given; any other network in
    its current mode.

    The table [tool.normwise] of pyproject.toml may have select and ignore, lists of codes, and a table severity with
    error, warning, info or off for a code. Options win over it.

    Exit code: 0 healthy, or notes only; 1 errors or warnings; 2 wrong use or bad input.

    Example: normwise doctor train.py:model --data train.py:loader --loss train.py:loss --fix fixed.pt
    """
    from normwise.cli.inputs.configuration import chosen_rules, read_configuration
    from normwise.cli.inputs.doctor_facts import facts_of
    from normwise.cli.inputs.keras.diagnosis import keras_diagnosis
    from normwise.cli.inputs.state_file import check_output, check_state
    from normwise.cli.inputs.user_code import running
    from normwise.doctor import Diagnosis, examine
    from normwise.report import check_drawing

    chosen = _chosen_format(format, json=json, quiet=quiet, fixes=fix is not None)
    is_keras = Path(target).suffix == KERAS and not is_folder(Path(target))
    if fix is not None:
        check_output(fix, force=force, **({"endings": (KERAS,)} if is_keras else {}))
    if html is not None:
        check_output(html, force=True, endings=_PAGES)
        check_drawing()
    configuration = read_configuration(Path.cwd())
    rules = chosen_rules(configuration, _codes(select), _codes(ignore))
    if is_keras:
        refused = {"--model": model, "--optimizer": optimizer}
        network, keras_found, rules = keras_diagnosis(
            target, rules, configuration, data=data, loss=loss, refused=refused, max_batches=max_batches
        )
        if fix is not None:
            raise typer.Exit(_fix_keras(network, keras_found, fix, chosen, html, quiet=quiet))
        if html is not None:
            _write_page(html, keras_found.examination)
        _show(keras_found.examination, rules, chosen, quiet=quiet)
        raise typer.Exit(0 if keras_found.is_healthy else _FINDINGS)
    facts = facts_of(target, model=model, data=data, loss=loss, optimizer=optimizer, max_batches=max_batches)
    if fix is not None:
        if facts.given_model is None:
            raise ArgumentError(f"--fix needs the network of {target}; name it by --model file.py:name")
        check_state(fix, facts.model.state_dict())
    with running(f"{target} on its data", with_ours=True):
        examination = examine(facts, rules, configuration.severities)
    if fix is None:
        if html is not None:
            _write_page(html, examination)
        _show(examination, rules, chosen, quiet=quiet)
        raise typer.Exit(0 if examination.is_healthy else _FINDINGS)
    diagnosis = Diagnosis(facts, rules, examination, configuration.severities)
    raise typer.Exit(_fix(facts, diagnosis, fix, chosen, html, quiet=quiet, force=force))


def _chosen_format(format: DoctorFormat, *, json: bool, quiet: bool, fixes: bool) -> DoctorFormat:
    if json and format not in (DoctorFormat.text, DoctorFormat.json):
        raise ArgumentError(f"--json and --format {format.value} contradict each other; leave one out")
    chosen = DoctorFormat.json if json else format
    if quiet and chosen is not DoctorFormat.text:
        raise ArgumentError(f"--quiet is for text, and {chosen.value} was asked for; leave one out")
    if fixes and chosen not in (DoctorFormat.text, DoctorFormat.json):
        raise ArgumentError(f"--fix prints text or json, and {chosen.value} was asked for; leave one out")
    return chosen


def _codes(given: list[str] | None) -> tuple[str, ...]:
    """Return the codes; one option may hold several, as in ``BN1,BN2``."""
    return tuple(code for one in given or () for code in one.split(","))


def _show(
    examination: "Examination", rules: "tuple[Rule, ...]", format: DoctorFormat, *, quiet: bool
) -> None:
    from normwise.records import examination_lines, to_json
    from normwise.report import examination_github, examination_sarif

    if format is DoctorFormat.json:
        text = to_json(examination, indent=1)
    elif format is DoctorFormat.github:
        text = examination_github(examination)
    elif format is DoctorFormat.sarif:
        text = examination_sarif(examination, [rule.text() for rule in rules])
    else:
        text = examination_lines(examination) if quiet else str(examination)
    if text:
        say(text)


def _write_page(path: Path, record: "Examination | Treatment") -> None:
    """Write the page of an examination, or of a treatment with its examinations before and after."""
    from normwise.files import write_whole
    from normwise.records import Examination
    from normwise.report import examination_page, treatment_page

    page = examination_page(record) if isinstance(record, Examination) else treatment_page(record)
    write_whole(path, page.encode())


def _fix(
    facts: "Facts",
    diagnosis: "Diagnosis",
    out: Path,
    format: DoctorFormat,
    html: Path | None,
    *,
    quiet: bool,
    force: bool,
) -> int:
    """Apply the fixes, write the weights if the gain is proven, print the changes, and return the exit code."""
    from normwise.cli.inputs.cli_target import metadata_of
    from normwise.cli.inputs.state_file import write_state
    from normwise.cli.inputs.user_code import running
    from normwise.cli.unsaved_changes import unsaved_changes

    with running(f"{facts.name} on its data", with_ours=True):
        healed, treatment = diagnosis.fix()
    if html is not None:
        _write_page(html, treatment)
    notes = []
    if treatment.proven:
        notes = unsaved_changes(facts.model, healed)
        # If the network of a run has changed, it is not what the run describes.
        metadata = {} if notes else metadata_of(facts.name)
        write_state(out, healed.state_dict(), force=force, metadata=metadata)
    show_treatment(str(diagnosis), treatment, out, json=format is DoctorFormat.json, quiet=quiet)
    for note in notes:
        complain(note, title="note")
    return 0 if is_healthy_after(treatment) else _FINDINGS


def _fix_keras(
    model: Any,
    diagnosis: "KerasDiagnosis",
    out: Path,
    format: DoctorFormat,
    html: Path | None,
    *,
    quiet: bool,
) -> int:
    """Apply the fixes to a Keras model, write it if the gain is proven, and return the exit code."""
    from normwise.cli.inputs.keras.model_file import save_keras

    treatment = diagnosis.fix()
    if html is not None:
        _write_page(html, treatment)
    if treatment.proven:
        save_keras(out, model)
    show_treatment(str(diagnosis), treatment, out, json=format is DoctorFormat.json, quiet=quiet)
    return 0 if is_healthy_after(treatment) else _FINDINGS
