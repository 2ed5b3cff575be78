"""Packages that an extra of normwise installs, and the error that says which extra to install."""

from collections.abc import Iterator
from contextlib import contextmanager

from normwise.errors import MissingPackageError

#: Names that pip knows, of packages that are imported by another name.
_PIP_NAMES = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Import packages of an extra in the block, or raise an error that says how to install them.

    Args:
        extra: Name of the extra, such as "study".
        what: What needs the packages, as the subject of a sentence, such as "the data set digits".

    Raises:
        MissingPackageError: a package is not installed, or can't be imported.

    ::

        with needs_extra("study", "the data set digits"):
            from sklearn.datasets import load_digits
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "normwise"):  # normwise's own mistake
            raise
        raise not_installed(extra, what, package) from None
    except MissingPackageError:
        raise
    except ImportError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise MissingPackageError(
            f"{what} needs a package that can't be imported: {reason}. Repair that package",
            name=error.name,
        ) from error


def not_installed(extra: str, what: str, package: str, more: str = "") -> MissingPackageError:
    """Return the error about a package that is not installed.

    Args:
        extra: Name of the extra that installs it.
        what: What needs it, as the subject of a sentence.
        package: Name by which it is imported.
        more: Text after the command that installs it.
    """
    return MissingPackageError(
        f"{what} needs {_PIP_NAMES.get(package, package)}, which is not installed: "
        f"pip install 'normwise[{extra}]'{more}",
        name=package,
    )
