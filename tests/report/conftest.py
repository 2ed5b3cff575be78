"""A study, a run and a recording such as normwise makes, with everything in them that is hard to show."""

import pytest

from normwise.records import Recording, Run, Study
from tests.support.reports import shown_runs, shown_study


@pytest.fixture(scope="session")
def study() -> Study:
    return shown_study.study()


@pytest.fixture(scope="session")
def run() -> Run:
    return shown_runs.run()


@pytest.fixture(scope="session")
def recording() -> Recording:
    return shown_runs.recording()
