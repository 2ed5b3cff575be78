"""Keras that is not installed, or can't be used: one error, wherever it is needed."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from normwise.errors import MissingPackageError
from normwise.import_keras import import_keras
from normwise.porting import port, port_to_state

_HIDDEN = "import sys; sys.modules['keras'] = None"


@pytest.mark.parametrize(
    ("before", "backend", "said"),
    [
        (_HIDDEN, "torch", "this needs keras, which is not installed: pip install 'normwise[keras]'"),
        ("", "caffe", "Unable to import backend : caffe"),
        (
            "import sys; sys.modules['jax'] = None",
            "jax",
            "Keras can't be imported, because jax is not installed",
        ),
    ],
)
def test_the_package_says_what_to_install(before: str, backend: str, said: str) -> None:
    code = f"{before}\ntry:\n    import normwise.keras\nexcept ImportError as error:\n    print(type(error), error)"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=240
    )
    assert "MissingPackageError" in done.stdout
    assert said in done.stdout


@pytest.mark.parametrize(
    "needs_it",
    [
        lambda: port(nn.Linear(2, 2), None),
        lambda: port_to_state(None),
        import_keras,
    ],
)
def test_so_does_whatever_else_needs_it(needs_it: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'normwise\[keras\]'"):
        needs_it()


def test_an_older_keras_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    older = type(sys)("keras")
    older.__dict__["__version__"] = "2.15.0"
    monkeypatch.setitem(sys.modules, "keras", older)
    with pytest.raises(
        MissingPackageError, match=r"needs Keras 3, and Keras 2\.15\.0 is installed: pip install -U"
    ):
        import_keras()
