"""Versions, machine and code that a run was made with."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from normwise.kernels.cpu import library as compiled
from normwise.records import Environment
from normwise.studies import fingerprint
from normwise.studies.fingerprint import Fingerprint


def test_kernels_and_their_instructions_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(library: ModuleType | None, instructions: str) -> Fingerprint:
        monkeypatch.setattr(compiled, "library", library)
        monkeypatch.setattr(fingerprint, "name_in_use", lambda device: instructions)
        return Fingerprint.here()

    def built(content: bytes) -> ModuleType:
        library = ModuleType("_native")
        library.__file__ = str(tmp_path / content.decode())
        Path(library.__file__).write_bytes(content)
        return library

    fingerprints = {
        made(None, "torch"),
        made(built(b"one"), "avx2"),
        made(built(b"one"), "avx512"),
        made(built(b"two"), "avx512"),
    }
    assert len(fingerprints) == 4


def test_the_number_of_cores_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before, here = Fingerprint.here(), Environment.here()
    monkeypatch.setattr(Environment, "here", staticmethod(lambda: replace(here, cores=here.cores + 1)))
    assert Fingerprint.here() == before


def test_it_says_in_what_another_differs() -> None:
    here = Fingerprint.here()
    other = replace(here, kernels="slide rule", environment=replace(here.environment, torch="0.1"))
    assert here.differences(here) == ""
    assert here.differences(other) == (
        f"torch is 0.1, expected {here.environment.torch}, kernels is slide rule, expected {here.kernels}"
    )
