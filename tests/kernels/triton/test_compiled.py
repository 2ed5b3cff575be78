"""The kernels as compiled for GPUs that need not be there: registers, widths of loads and stores, fma, order."""

import re
from itertools import product

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from normwise.activations import ACTIVATIONS
from normwise.kernels.triton.keys import NO_SOURCE, OUTPUT, RESIDUAL, BackwardKey, ForwardKey
from normwise.kernels.triton.launcher import Launch
from normwise.kernels.triton.launches import backward_launches, forward_launches
from tests.support.kernels.machine_code import MachineCode, machine_code

_BF16, _FLOAT, _HALF = torch.bfloat16, torch.float32, torch.float16
#: ``(n, c, s, channels_last)``, as a GPU has them in training, and some that are aligned to less than 16 bytes.
_LAST = {
    "112": (128, 64, 112 * 112, True),
    "7": (128, 2048, 49, True),
    "19 channels": (16, 19, 128 * 256, True),
    "36 channels": (64, 36, 28 * 28, True),
    "(60, 100)": (60, 100, 1, True),
    "(8192, 1024)": (8192, 1024, 1, True),
}
_FIRST = {
    "112": (128, 64, 112 * 112, False),
    "14": (128, 1024, 14 * 14, False),
    "7": (128, 2048, 7 * 7, False),
    "whole, 8": (64, 256, 8 * 8, False),
    "19 channels": (16, 19, 128 * 256, False),
}
_SHAPES = [*_LAST.values(), *_FIRST.values()]
_REGISTERS, _SHARED = 65536, 48 * 1024
_MULTIPROCESSORS = 132


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch, tmp_path):
    """Compiled kernels of another day would be tested otherwise."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def _forward(layout, dtype, activation=None, added=False, masked=False, training=True, aligned=True):
    off = (not aligned, not aligned and added, not aligned and masked)
    return forward_launches(
        ForwardKey(
            layout,
            dtype,
            _FLOAT,
            _FLOAT,
            _FLOAT,
            training,
            False,
            activation,
            added,
            masked,
            training,
            off,
            0,
            132,
        )
    )


def _backward(
    layout, dtype, activation=None, added=False, masked=False, training=True, inplace=False, aligned=True
):
    source = NO_SOURCE
    if added and activation is not None:
        source = OUTPUT if ACTIVATIONS[activation].slope_from_output else RESIDUAL
    off = (not aligned, not aligned and source != NO_SOURCE, not aligned, not aligned and masked)
    return backward_launches(
        BackwardKey(layout, dtype, _FLOAT, _FLOAT, training, activation, source, inplace, masked, off, 0, 132)
    )


def _check(code: MachineCode, launch: Launch) -> None:
    """Assert what holds for every kernel."""
    name = launch.kernel.__name__
    assert code.local == 0, f"{name} spills registers"
    assert code.registers * 32 * launch.warps <= _REGISTERS, name
    assert code.shared <= _SHARED, name
    # Sums that several programs add to would have other bits from run to run.
    assert not re.findall(r"\b(?:atom|red)\.(?:\w+\.)*(?:f|bf|b)\d+", code.ptx), name


#: Each type, activation, residual, mask and evaluation, each with some shape.
_JOINT = [
    (_LAST["112"], _BF16, "relu", True, False, True, False),
    (_LAST["7"], _FLOAT, "gelu", True, True, True, False),
    (_LAST["19 channels"], _HALF, "silu", False, True, True, False),
    (_LAST["36 channels"], _BF16, "leaky_relu", False, False, True, True),
    (_LAST["(60, 100)"], _FLOAT, "relu6", True, True, True, False),
    (_FIRST["112"], _FLOAT, "tanh", False, True, True, False),
    (_FIRST["14"], _BF16, "elu", True, True, True, False),
    (_FIRST["7"], _BF16, "silu", True, True, True, False),
    (_FIRST["whole, 8"], _HALF, "hardswish", True, False, True, False),
    (_FIRST["19 channels"], _FLOAT, "sigmoid", True, True, False, False),
    (_FIRST["14"], _HALF, None, False, True, False, True),
]


def _check_all(layout, dtype, activation, added, masked, training, inplace, capability):
    launches = (
        *_forward(layout, dtype, activation, added, masked, training),
        *_backward(layout, dtype, activation, added, masked, training, inplace),
    )
    for launch in launches:
        _check(machine_code(launch, capability), launch)


@pytest.mark.parametrize("case", _JOINT, ids=str)
def test_no_kernel_spills_or_adds_up_in_an_order_of_chance(case):
    _check_all(*case, capability=90)


@pytest.mark.parametrize("capability", [80, 100])
@pytest.mark.parametrize("case", [_JOINT[0], _JOINT[7]], ids=str)
def test_nor_does_one_on_older_and_newer_gpus(case, capability):
    _check_all(*case, capability=capability)


@pytest.mark.exhaustive
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("dtype", [_BF16, _FLOAT, _HALF], ids=str)
@pytest.mark.parametrize("layout", _SHAPES, ids=str)
def test_nor_does_any_with_another_activation(layout, dtype, activation):
    invertible = activation is None or ACTIVATIONS[activation].invertible
    for added, masked, training, capability in product(
        [False, True], [False, True], [True, False], [80, 90, 100]
    ):
        inplace = invertible and not added
        _check_all(layout, dtype, activation, added, masked, training, inplace, capability)


@pytest.mark.parametrize("dtype", [_BF16, _FLOAT], ids=str)
@pytest.mark.parametrize("layout", [_LAST["112"], _LAST["7"], _FIRST["112"], _FIRST["14"]], ids=str)
def test_all_programs_that_sum_run_at_once(layout, dtype):
    # A second wave of a few programs would take as long as the first.
    for launch in (_forward(layout, dtype, "relu")[0], _backward(layout, dtype, "relu")[0]):
        assert launch.kernel.__name__.endswith("sums")
        columns, rows = launch.grid
        a_multiprocessor = -(-columns * rows // _MULTIPROCESSORS)
        registers_of_a_warp = -(-machine_code(launch, 90).registers * 32 // 256) * 256
        assert a_multiprocessor * launch.warps * registers_of_a_warp <= _REGISTERS, launch.kernel.__name__
        assert a_multiprocessor * launch.warps <= 64


def _elements_a_thread(launch: Launch) -> int:
    names, values = launch.kernel.arg_names[len(launch.types) :], launch.constants
    constants = dict(zip(names, values, strict=True))
    tile = constants["ROWS"] * constants["CHANNELS"]
    if not launch.kernel.__name__.endswith("sums"):
        tile *= constants["VECTOR"]
    return tile // (32 * launch.warps)


_WIDTHS = [
    (_LAST["112"], _BF16, 16),
    (_LAST["112"], _FLOAT, 16),
    (_LAST["36 channels"], _BF16, 8),
    (_FIRST["112"], _BF16, 16),
    (_FIRST["14"], _BF16, 8),
]


@pytest.mark.parametrize(("layout", "dtype", "width"), _WIDTHS, ids=str)
def test_rows_are_read_and_written_as_wide_as_they_are_aligned(layout, dtype, width):
    sums, _, normalise = _forward(layout, dtype, "relu", added=True)
    sums_back, _, gradient = _backward(layout, dtype, "relu", added=True)
    for launch, read, written in ((sums, 1, 0), (normalise, 2, 1), (sums_back, 3, 1), (gradient, 2, 1)):
        code, bytes_each = machine_code(launch, 90), _elements_a_thread(launch) * dtype.itemsize
        name = launch.kernel.__name__
        reads, writes = code.accesses("LDG"), code.accesses("STG")
        # Parameters may be read as widely.
        assert reads[width] >= read * bytes_each // width, (name, reads)
        assert writes[width] >= written * bytes_each // width, (name, writes)
        # The first values of a part, around which its sums are, are read alone; parameters are float32.
        assert reads[dtype.itemsize] < _elements_a_thread(launch) or dtype is _FLOAT, (name, reads)
        assert not writes[dtype.itemsize] or dtype is _FLOAT, (name, writes)


@pytest.mark.parametrize("layout", [_LAST["112"], _FIRST["whole, 8"]], ids=str)
def test_tensors_that_begin_in_the_middle_of_16_bytes_are_read_by_elements(layout):
    for launch in (*_forward(layout, _BF16, aligned=False), *_backward(layout, _BF16, aligned=False)):
        if launch.kernel.__name__.startswith("merge"):
            continue
        code = machine_code(launch, 90)
        # The gradient of the input, which lies in memory of our own, may be written at once.
        assert code.accesses("LDG")[2] >= _elements_a_thread(launch), launch.kernel.__name__


@pytest.mark.parametrize("layout", [_LAST["112"], _FIRST["14"]], ids=str)
def test_a_line_is_one_rounding_and_nothing_else_is_fused(layout):
    *_, normalise = _forward(layout, _BF16)
    code = machine_code(normalise, 90)
    # One for each element, and no others: a mean that is multiplied and taken off would be another number than that
    # which the backward pass computes.
    assert len(re.findall(r"\bfma\.rn(?:\.ftz)?\.f32", code.ptx)) == _elements_a_thread(normalise)
    assert not re.findall(r"\bmul\.f32", code.ptx), "arithmetic that the compiler may contract"
