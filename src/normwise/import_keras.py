"""Import of Keras and its backend on demand, with one error that says what to install."""

from typing import Any

from normwise.errors import MissingPackageError
from normwise.extras import not_installed

_FIRST = 3
_SET_BACKEND = (
    "set the environment variable KERAS_BACKEND to tensorflow, jax or torch, before Keras is imported"
)


def import_keras() -> Any:
    """Return the module ``keras``.

    Raises:
        MissingPackageError: Keras, or its backend, is not installed or can't be used; the error says what to
            install.
    """
    try:
        import keras
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "keras":
            backends = (
                ", and one of its backends, tensorflow, jax or torch, which the environment variable KERAS_BACKEND "
                "names"
            )
            raise not_installed("keras", "this", "keras", backends) from None
        raise MissingPackageError(
            f"Keras can't be imported, because {missing} is not installed: install it, or {_SET_BACKEND}, whichever is "
            "installed",
            name=missing,
        ) from None
    except (ImportError, ValueError) as error:  # ValueError: the backend does not exist
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise MissingPackageError(
            f"Keras can't be imported: {said}. Repair that package, or {_SET_BACKEND}", name="keras"
        ) from error
    if int(keras.__version__.partition(".")[0]) < _FIRST:
        raise MissingPackageError(
            f"this needs Keras {_FIRST}, and Keras {keras.__version__} is installed: pip install -U 'normwise[keras]'",
            name="keras",
        )
    return keras
