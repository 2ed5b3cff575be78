"""Keras and its backend, imported when they are needed."""

import os
import sys
from typing import Any

from normwise.errors import ArgumentError


def import_keras() -> Any:
    """Return the module ``keras``.

    Raises:
        ArgumentError: it, or its backend, is not installed; says what to install.
    """
    # TensorFlow writes what it was compiled with to standard error, unless it is told before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "keras":
            raise ArgumentError(
                "a run in Keras needs Keras, which is not installed: pip install 'normwise[keras]', and one of its "
                "backends, tensorflow, jax or torch, which the environment variable KERAS_BACKEND names"
            ) from None
        raise ArgumentError(
            f"Keras can't be imported, because {missing} is not installed: install it, or set the environment variable "
            "KERAS_BACKEND to a backend that is: tensorflow, jax or torch"
        ) from None
    except ValueError as error:  # of a backend that does not exist
        raise ArgumentError(
            f"Keras can't be imported: {error}. Set the environment variable KERAS_BACKEND to tensorflow, jax or torch"
        ) from None
    return keras


def backend_in_use() -> str:
    """Return the versions of Keras and of its backend, as runs keep them."""
    keras = import_keras()
    name = keras.backend.backend()
    return f"Keras {keras.__version__}, {name} {sys.modules[name].__version__}"
