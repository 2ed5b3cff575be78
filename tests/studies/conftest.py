"""Presets, and claims that are judged on runs that were never made."""

from collections.abc import Callable

import pytest

from normwise.records import ClaimResult
from normwise.studies import Preset, preset_named
from tests.support.studies.pretended_runs import judged


@pytest.fixture
def quick() -> Preset:
    return preset_named("quick")


@pytest.fixture
def judge() -> Callable[..., ClaimResult]:
    """Return the outcome of a claim on pretended runs."""
    return judged
