"""ONNX files: the numbers and the mode of their BN layers, in every version of the operator."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import TensorProto, helper, save_model
from torch import nn

from normwise.doctor import Facts, examine, rules_named
from normwise.errors import DataError, MissingPackageError
from normwise.surgery import export_onnx

_NAMES = ["scale", "B", "mean", "var"]


def _file(opset: int, outputs: int = 1, **attributes: Any) -> bytes:
    node = helper.make_node(
        "BatchNormalization", ["x", *_NAMES], [f"y{i}" for i in range(outputs)], name="node", **attributes
    )
    return _graph([node], opset, (*_NAMES,))


def _graph(nodes: list[Any], opset: int, names: tuple[str, ...], **options: Any) -> bytes:
    numbers = [
        helper.make_tensor(name, TensorProto.FLOAT, [2], [1.0 + i, 2.0]) for i, name in enumerate(names)
    ]
    graph = helper.make_graph(nodes, "net", [], [], numbers, **options)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()


def _codes(content: bytes) -> list[str]:
    return [finding.code for finding in examine(Facts.of_onnx(content), rules_named(["BN704"])).findings]


@pytest.mark.parametrize(
    ("opset", "outputs", "attributes", "in_training"),
    [
        (1, 1, {}, True),
        (6, 1, {"is_test": 0}, True),
        (6, 1, {"is_test": 1}, False),
        (7, 1, {}, False),
        (9, 5, {}, True),
        (14, 3, {"training_mode": 1}, True),
        (15, 1, {"training_mode": 0}, False),
        (17, 1, {}, False),
    ],
)
def test_each_version_of_the_operator_tells_its_mode(
    opset: int, outputs: int, attributes: dict[str, int], in_training: bool
) -> None:
    assert _codes(_file(opset, outputs, **attributes)) == ["BN704"] * in_training


def test_numbers_and_settings_are_those_of_the_file() -> None:
    facts = Facts.of_onnx(_file(17, epsilon=1e-3, momentum=0.99), "net.onnx")
    norm = facts.norms["node"]
    assert facts.has == {"numbers", "onnx"}
    assert norm.weight is not None
    assert norm.variance is not None
    assert norm.weight.tolist() == [1, 2]
    assert norm.variance.tolist() == [4, 2]
    # The weight of a new batch, as torch has it.
    assert (norm.eps, norm.momentum) == (0.001, 0.01)


def test_a_layer_is_called_as_in_the_model_and_a_second_call_of_it_by_its_number() -> None:
    names = ("block.bn.weight", "block.bn.bias", "block.bn.running_mean", "block.bn.running_var")
    nodes = [helper.make_node("BatchNormalization", [x, *names], [y]) for x, y in (("x", "y"), ("y", "z"))]
    assert list(Facts.of_onnx(_graph(nodes, 17, names)).norms) == ["block.bn", "block.bn (call 2)"]


def test_layers_of_inner_graphs_and_numbers_of_constant_nodes_are_found() -> None:
    inner = helper.make_graph(
        [helper.make_node("BatchNormalization", ["x", *_NAMES[:3], "v"], ["y"], name="inner")], "then", [], []
    )
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "else", [], [])
    value = helper.make_tensor("value", TensorProto.FLOAT, [2], [5.0, 6.0])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Identity", ["c"], ["v"]),
        helper.make_node("If", ["is"], ["out"], then_branch=inner, else_branch=other),
    ]
    variance = Facts.of_onnx(_graph(nodes, 17, (*_NAMES[:3],))).norms["inner"].variance
    assert variance is not None
    assert variance.tolist() == [5, 6]


def test_what_is_exported_in_evaluation_is_no_finding(tmp_path: Path) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).eval()
    export_onnx(model, torch.randn(2, 3, 4, 4), tmp_path / "net.onnx")
    assert list(Facts.of_onnx(tmp_path / "net.onnx").norms) == ["0"]
    assert _codes((tmp_path / "net.onnx").read_bytes()) == []


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x08\x07" * 50, _file(17)[:-40]])
def test_a_damaged_file_is_one_error(content: bytes) -> None:
    with pytest.raises(
        DataError, match=r"net.onnx (is damaged or no ONNX file|has no BatchNormalization|lacks)"
    ):
        Facts.of_onnx(content, "net.onnx")


def test_a_file_without_bn_is_one_error() -> None:
    content = _graph([helper.make_node("Relu", ["x"], ["y"])], 17, ())
    with pytest.raises(DataError, match="has no BatchNormalization node, so there is nothing to examine"):
        Facts.of_onnx(content, "net.onnx")


def test_tensors_beside_the_file_are_read_and_missing_ones_are_one_error(tmp_path: Path) -> None:
    names = ("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    numbers = [helper.make_tensor(name, TensorProto.FLOAT, [64], [2.0] * 64) for name in names]
    node = helper.make_node("BatchNormalization", ["x", *names], ["y"])
    model = helper.make_model(helper.make_graph([node], "net", [], [], numbers))
    for tensor in model.graph.initializer:
        tensor.raw_data = torch.full((64,), 2.0).numpy().tobytes()
        tensor.ClearField("float_data")
    path = tmp_path / "net.onnx"
    save_model(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    variance = Facts.of_onnx(path).norms["bn"].variance
    assert variance is not None
    assert variance.tolist() == [2.0] * 64
    (tmp_path / "net.data").unlink()
    with pytest.raises(DataError, match=r"lacks the tensor 'bn\.weight'"):
        Facts.of_onnx(path)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"needs onnx, .*: pip install 'normwise\[onnx\]'"):
        Facts.of_onnx(b"", "net.onnx")
