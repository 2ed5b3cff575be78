"""Objects in the user's own files, by name, with one line for each error of that code."""

import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from normwise.errors import ArgumentError, DataError, ModelError, NormwiseError
from normwise.files import is_file

_STANDARD = Path(sysconfig.get_path("stdlib")).resolve()
_NORMWISE = Path(__file__).resolve().parents[2]
_INSTALLED = {"site-packages", "dist-packages"}
#: Packages that run a model or its data, even when no file of the user is involved.
_RUN_FOR_THE_USER = ("torch/nn/modules/", "torch/utils/data/")
_MOST_NAMED = 10


def named_object(name: str) -> Any:
    """Return the object that ``file.py:name`` or ``package.module:name`` names.

    The current folder is importable, as for ``python -m``, and so is the folder of the file.

    Raises:
        ArgumentError: there is no such file, module or name.
        DataError: the file raises an exception.
    """
    source, _, attributes = name.rpartition(":")
    if not source or not attributes:
        raise ArgumentError(
            f"{name!r} names nothing; expected file.py:name or package.module:name, such as net.py:model"
        )
    _make_importable(Path.cwd())
    module = _from_file(Path(source)) if source.endswith(".py") else _from_module(source)
    found: Any = module
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise ArgumentError(f"{source} has no {attributes!r}; it has {_names_in(module)}")
        found = getattr(found, attribute)
    return found


def call_without_arguments(name: str, function: Any) -> Any:
    """Call a callable that has no required arguments, and return its result.

    Raises:
        ArgumentError: the callable has required arguments.
        DataError: the callable raises an exception.
    """
    required = _required(function)
    if required:
        raise ArgumentError(
            f"{name} needs the arguments {', '.join(required)}; name a function that needs none, and calls it"
        )
    with running(name):
        return function()


@contextmanager
def running(what: str, *, with_ours: bool = False) -> Iterator[None]:
    """Run the user's code: turn an exception into one line, and send its output to standard error.

    Args:
        what: Beginning of the line.
        with_ours: Whether normwise's own code runs as well. An exception that passed neither through a file of the
            user nor through a model or its data is a bug in normwise, and is raised unchanged.

    Raises:
        DataError: has the type, text and location of the user's exception.
        ModelError, DataError: normwise's own error, with the location if its cause passed through a file of the
            user.
    """
    try:
        # Standard output belongs to the command, and may be parsed as JSON.
        with redirect_stdout(sys.stderr):
            yield
    except ModelError as error:
        # The library's error says that the model fails; only its cause has the line in the user's file.
        cause = error.__cause__
        place = "" if cause is None else _place(cause)
        if not place:
            raise
        raise ModelError(f"{error}; {type(cause).__name__}{place}") from cause
    except DataError as error:
        # Its text already has the type of the cause.
        cause = error.__cause__
        place = "" if cause is None else _place(cause)
        if not place or place in str(error):
            raise
        raise DataError(f"{error}{place}") from cause
    except NormwiseError:
        raise
    except SystemExit as end:
        raise DataError(
            f"{what} ends the program (SystemExit: {end}{_place(end)}); put what does that under "
            'if __name__ == "__main__"'
        ) from None
    except Exception as error:
        if with_ours and not _is_the_users(error):
            raise
        raise DataError(f"{what}: {type(error).__name__}: {_said(error)}{_place(error)}") from error


def _required(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # unknown for some callables that are not written in Python
        return []
    return [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _from_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise ArgumentError(f"there is no file {path}; it is looked for from {Path.cwd()}")
    shown, path = path, path.resolve()
    _make_importable(path.parent)
    for module in list(sys.modules.values()):
        # Import a file only once, even if it was named before or another file imported it.
        if getattr(module, "__file__", None) == str(path):
            return module
    # Under its own name if that is free, so that a DataLoader's worker processes can import it.
    name = path.stem if path.stem not in sys.modules else f"{path.stem} of {path.parent}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{shown} can't be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with running(str(shown)):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _from_module(name: str) -> ModuleType:
    with running(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if name != missing and not name.startswith(f"{missing}."):
                raise  # by the module itself
            raise ArgumentError(
                f"there is no module {missing!r}; it is looked for in {Path.cwd()} and among what is installed. "
                "A file is named as file.py:name"
            ) from None


def _names_in(module: ModuleType) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", module.__name__) == module.__name__
        and not isinstance(value, ModuleType)
    ]
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "") or "no names"


def _make_importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _is_the_users(error: BaseException) -> bool:
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return any(
        _is_own(file) or any(part in Path(file).as_posix() for part in _RUN_FOR_THE_USER) for file in files
    )


def _is_own(file: str) -> bool:
    """Return whether the user wrote a file of a traceback."""
    path = Path(file)
    if file.startswith("<") or _INSTALLED & set(path.parts):
        return False
    path = path.resolve()
    return not (path.is_relative_to(_STANDARD) or path.is_relative_to(_NORMWISE))


def _place(error: BaseException) -> str:
    """Return the innermost line of the user's code that an exception passed through, if any."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({_shown(error.filename)}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return f" ({_shown(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _said(error: BaseException) -> str:
    """Return the text in one line."""
    if isinstance(error, SyntaxError):
        return error.msg
    lines = str(error).strip().splitlines() or ["without a text"]
    # A DataLoader worker sends its whole traceback, which ends with the exception.
    return lines[-1] if "Traceback (most recent call last)" in str(error) else lines[0]
