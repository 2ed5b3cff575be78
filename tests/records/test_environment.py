"""Record of the environment of a run."""

import dataclasses
import os
import platform
from pathlib import Path

import numpy
import pytest
import torch

import normwise
from normwise.records import Environment, usable_cores


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Environment)])
def test_every_field_says_something(field: str) -> None:
    value = getattr(Environment.here(), field)
    assert value
    assert str(value) == str(value).strip()


def test_versions_are_those_that_run() -> None:
    here = Environment.here()
    assert here.normwise == normwise.__version__
    assert torch.__version__.startswith(here.torch)
    assert (here.numpy, here.python) == (numpy.__version__, platform.python_version())


def test_here_is_always_the_same() -> None:
    assert Environment.here() == Environment.here()


def test_at_least_one_core_is_usable_and_no_more_than_there_are() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_as_many_cores_as_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    assert usable_cores() == 3


@pytest.mark.parametrize(("count", "cores"), [(12, 12), (None, 1)])
def test_where_the_system_does_not_say_all_cores_count(
    monkeypatch: pytest.MonkeyPatch, count: int | None, cores: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS and Windows
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cores() == cores


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch):
    """Forgets what was found before and what a test makes it find."""
    Environment.here.cache_clear()
    yield monkeypatch
    Environment.here.cache_clear()


@pytest.mark.parametrize(
    ("cpuinfo", "processor"),
    [
        (
            "processor : 0\nmodel name\t: Some CPU: 3 GHz\nprocessor : 1\nmodel name\t: Other\n",
            "Some CPU: 3 GHz",
        ),
        ("processor : 0\nBogoMIPS : 50\n", "arm64"),  # as ARM's
        (None, "arm64"),  # not Linux
    ],
)
def test_the_processors_name(fresh: pytest.MonkeyPatch, cpuinfo: str | None, processor: str) -> None:
    def read_text(path: Path, encoding: str | None = None) -> str:
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    fresh.setattr(Path, "read_text", read_text)
    fresh.setattr(platform, "processor", lambda: "")
    fresh.setattr(platform, "machine", lambda: "arm64")
    # Distributions' metadata are files that read_text reads, too.
    fresh.setattr("normwise.records.environment.version", lambda name: "1.0")
    assert Environment.here().processor == processor
