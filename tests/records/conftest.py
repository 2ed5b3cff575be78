"""A run and a study with something in every field."""

import pytest

from normwise.records import Run, RunConfig, Study
from tests.support import records


@pytest.fixture
def config() -> RunConfig:
    return records.config()


@pytest.fixture
def run() -> Run:
    return records.run()


@pytest.fixture
def study() -> Study:
    return records.study()
