"""Versions of Keras and of its backend."""

import sys

from normwise.import_keras import import_keras


def backend_in_use() -> str:
    """Return the versions of Keras and of its backend, in the form that runs store."""
    keras = import_keras()
    name = keras.backend.backend()
    return f"Keras {keras.__version__}, {name} {sys.modules[name].__version__}"
