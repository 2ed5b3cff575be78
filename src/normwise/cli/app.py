"""The command ``normwise``: its subcommands, and the one place that turns errors into a message and an exit code."""

import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from normwise.cli import terminal
from normwise.cli.command_group import CommandGroup
from normwise.cli.commands.bench import bench
from normwise.cli.commands.calibrate import calibrate
from normwise.cli.commands.convert import convert
from normwise.cli.commands.doctor import doctor
from normwise.cli.commands.explain import explain
from normwise.cli.commands.fold import fold
from normwise.cli.commands.port import port
from normwise.cli.commands.report import report
from normwise.cli.commands.study import study
from normwise.cli.commands.training.evaluate import evaluate
from normwise.cli.commands.training.predict import predict
from normwise.cli.commands.training.runs import runs
from normwise.cli.commands.training.train import train_app
from normwise.cli.interruptions import interruptions_counted
from normwise.cli.option_names import naming_options
from normwise.errors import NormwiseError

_FIX, _TRAIN, _EVIDENCE = "Examine and fix a network", "Train a network and use it", "Evidence and speed"


class _Commands(CommandGroup):
    """The commands, the main jobs first."""

    order = (
        *("doctor", "calibrate", "evaluate", "fold", "convert", "port"),
        *("train", "predict", "report", "runs"),
        *("study", "explain", "bench"),
    )


app = typer.Typer(
    name="normwise",
    cls=_Commands,
    help="Batch normalization for PyTorch and Keras: train with and without it, see what it does, and fix it.",
    epilog="Exit codes: 0 fine, 1 the doctor found errors or warnings, 2 wrong use or bad input, 70 a mistake of "
    "normwise's own, 130 interrupted.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for _panel, _commands in (
    (_FIX, (doctor, calibrate, evaluate, fold, convert, port)),
    (_TRAIN, (predict, report, runs)),
    (_EVIDENCE, (study, explain, bench)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(naming_options(_command))
app.add_typer(train_app, name="train", rich_help_panel=_TRAIN)

_WRONG_USE, _OWN_MISTAKE, _INTERRUPTED, _NOBODY_READS = 2, 70, 130, 141
_TRACEBACK = "--traceback"


def _version(wanted: bool) -> None:
    if wanted:
        from normwise import kernels
        from normwise.records import Environment

        here = Environment.here()
        terminal.say(
            f"normwise {here.normwise}, torch {here.torch}, Python {here.python}; kernels: {kernels.in_use()}"
        )
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the versions and exit."
        ),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            _TRACEBACK, help="Also print the traceback of an error; allowed anywhere among the options."
        ),
    ] = False,
) -> None:
    """Handle the options that precede a command."""


def run_command_line(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; report any error in one line on standard error."""
    terminal.prepare()
    # At any position, since users append it after an error; everything after "--" is input.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shows_traceback = _TRACEBACK in arguments[:end]
    given = [*(one for one in arguments[:end] if one != _TRACEBACK), *arguments[end:]]
    with _termination_as_before(), interruptions_counted() as interruptions:
        try:
            code = app(args=given, prog_name="normwise", standalone_mode=False) or 0
            terminal.flush()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else _WRONG_USE
        except BaseException as error:
            if shows_traceback:
                terminal.complain_lines("".join(traceback.format_exception(error)))
            # Code that catches KeyboardInterrupt may raise another exception in its place.
            code = _INTERRUPTED if interruptions else _outcome(error)
    if code == _INTERRUPTED:
        terminal.complain_lines(
            "Interrupted. Finished work is kept, and no file is half-written: give the command again "
            "(train: with --resume; the other commands start again).\n"
        )
        # CPython remembers an interruption that arrived during exec(), and would then end by the signal instead of
        # by the exit code. Another exec() clears that.
        exec("")
    return code


def _outcome(error: BaseException) -> int:
    """Print an error in one line and return its exit code."""
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, (terminal.OutputError, BrokenPipeError)):
        terminal.leave_output()
    if isinstance(error, (terminal.ReaderEnded, BrokenPipeError)):
        return _NOBODY_READS
    if isinstance(error, NormwiseError):
        terminal.complain(str(error))
        return _WRONG_USE
    if hasattr(error, "format_message"):  # typer's, of wrong use
        _complain_of_use(error)
        return _WRONG_USE
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        terminal.complain("there is not enough memory for this; use smaller numbers, or less data at once")
        return _WRONG_USE
    if isinstance(error, RecursionError):
        terminal.complain("the input is nested more deeply than can be followed")
        return _WRONG_USE
    if isinstance(error, OSError):
        terminal.leave_output()
        name = "" if error.filename is None else f"{error.filename}: "
        terminal.complain(f"{name}{error.strerror or error}")
        return _WRONG_USE
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}{': ' if lines else ''}{lines[0] if lines else ''}"
    terminal.complain(
        f"this is a bug in normwise ({said}). Please report it, with what `normwise --version` prints and what "
        f"this command prints with {_TRACEBACK}"
    )
    return _OWN_MISTAKE


def _complain_of_use(error: BaseException) -> None:
    text = getattr(error, "format_message")().strip()  # noqa: B009 (typer's class is private)
    context = getattr(error, "ctx", None)
    if not text or "\n" in text:  # the help of a command without arguments, which rich has printed already
        terminal.complain_lines(f"{text}\n" if text else "")
        return
    command = "normwise" if context is None else context.command_path
    text = text.replace(": Value error, ", ": ").rstrip(".")
    terminal.complain(
        f"{text[:1].lower()}{text[1:]}{' See' if text.endswith('?') else '; see'} {command} --help"
    )


@contextmanager
def _termination_as_before() -> Iterator[None]:
    """Restore the handler of SIGTERM, which a command of several processes replaces, after the last message."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
