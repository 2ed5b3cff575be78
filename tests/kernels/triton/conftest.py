"""Kernels for GPUs that are turned on, whatever the environment says of the kernels that the rest of the suite uses."""

import pytest


@pytest.fixture(autouse=True)
def turned_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the variable, whose value "torch" turns them off."""
    monkeypatch.delenv("NORMWISE_KERNELS", raising=False)
