"""The kernels against the scalar reference in C++, without Python and torch: compiled and run here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[3] / "csrc"
#: Warnings are errors here, too. The optimised build is the other tests'.
FLAGS = (
    "-std=c++17 -O0 -fopenmp -Wall -Wextra -Werror -Wno-psabi -DNW_ISA=baseline -DNW_ENTRY=kernels_baseline"
)


@pytest.mark.timeout(900)  # compiling takes some ten seconds on an idle machine
def test_baseline_equals_the_reference(tmp_path: Path) -> None:
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no C++ compiler: neither CXX nor c++ names one")
    program = tmp_path / "smoke_test"
    sources = CSRC / "kernels.cpp", CSRC / "smoke_test.cpp"
    built = subprocess.run(
        [compiler, *FLAGS.split(), f"-I{CSRC}", *sources, "-o", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    ran = subprocess.run([program], capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.endswith(" 0 differ from the reference\n")
