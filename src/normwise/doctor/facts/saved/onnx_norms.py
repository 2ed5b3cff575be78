"""BatchNormalization nodes of an ONNX file, with their numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.errors import DataError
from normwise.extras import needs_extra

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

#: Defaults of the operator.
_EPSILON, _MOMENTUM = 1e-5, 0.9
#: Inputs of the operator after its first, with the names of their tensors in torch.
_INPUTS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class OnnxNorm:
    """One BatchNormalization node.

    Attributes:
        node: Name of the node in the file.
        opset: Version of ONNX's operator set.
        in_training: Whether the node normalises by each batch.
        told_by: Evidence for that in the file, such as ``"training_mode=1"``.
    """

    node: str
    opset: int
    in_training: bool
    told_by: str


def read_onnx(source: Path | bytes, name: str) -> tuple[dict[str, NormFacts], dict[str, OnnxNorm]]:
    """Return the numbers of the BN layers of an ONNX file, and their nodes, by path.

    A path is that of the layer in the exported model, if the names of its tensors show it; otherwise the name of
    the node.

    Args:
        source: File, or its content.
        name: Name of the file, for errors.

    Raises:
        DataError: the file is damaged, is not an ONNX file, or lacks tensors that it refers to.
        MissingPackageError: onnx is not installed.
    """
    model = _load(source, name)
    folder = str(source.parent) if isinstance(source, Path) else ""
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
    norms: dict[str, NormFacts] = {}
    nodes: dict[str, OnnxNorm] = {}
    for node, tensors in _batch_norms(model):
        attributes = {attribute.name: attribute for attribute in node.attribute}
        found = [tensors.get(key) for key in list(node.input)[1:5]]
        weight, bias, mean, variance = [_tensor(one, folder, name) for one in (*found, *[None] * 4)[:4]]
        path = _free(_path(node), norms)
        epsilon, momentum = (
            float(f"{attributes[key].f:.6g}") if key in attributes else default  # they are float32
            for key, default in (("epsilon", _EPSILON), ("momentum", _MOMENTUM))
        )
        # ONNX's momentum is the weight of the old average, torch's that of the new batch.
        norms[path] = NormFacts(
            path, path, node.op_type, mean, variance, weight, bias, epsilon, round(1 - momentum, 9)
        )  # fmt: skip
        told_by = _training_told_by(node, attributes, opset)
        nodes[path] = OnnxNorm(node.name, opset, bool(told_by), told_by)
    return norms, nodes


def _load(source: Path | bytes, name: str) -> "ModelProto":
    with needs_extra("onnx", f"reading {name}"):
        import onnx
    try:
        model = (
            onnx.load_model_from_string(source)
            if isinstance(source, bytes)
            else onnx.load_model(source, load_external_data=False)
        )
    except Exception as error:  # protobuf has several, of its own
        raise DataError(f"{name} is damaged or no ONNX file ({type(error).__name__})") from None
    if not model.graph.node:
        raise DataError(f"{name} is damaged or no ONNX file: there is no graph with nodes in it")
    return model


def _batch_norms(model: "ModelProto") -> "Iterator[tuple[NodeProto, Mapping[str, TensorProto]]]":
    """Yield the nodes with the constant tensors that they see, also those of inner graphs and of functions."""
    yield from _of_graph(model.graph, {})
    for function in model.functions:
        yield from _of_nodes(function.node, {})


def _of_graph(
    graph: "GraphProto", outer: "Mapping[str, TensorProto]"
) -> "Iterator[tuple[NodeProto, Mapping[str, TensorProto]]]":
    yield from _of_nodes(graph.node, {**outer, **{tensor.name: tensor for tensor in graph.initializer}})


def _of_nodes(
    nodes: Any, tensors: "dict[str, TensorProto]"
) -> "Iterator[tuple[NodeProto, Mapping[str, TensorProto]]]":
    for node in nodes:
        value = next((one.t for one in node.attribute if one.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensors[node.output[0]] = value
        elif node.op_type == "Identity" and node.input and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]]
        elif node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx"):
            yield node, tensors
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _of_graph(graph, tensors)


def _training_told_by(node: "NodeProto", attributes: Mapping[str, Any], opset: int) -> str:
    """Return the evidence that a node normalises by each batch; empty if it does not.

    Versions 1 and 6 of the operator have ``is_test``, which is 0 if not given; in 7 and 9 the number of outputs
    decides; from 14 on there is ``training_mode``.
    """
    outputs = len([output for output in node.output if output])
    if opset >= 14:
        training = "training_mode" in attributes and attributes["training_mode"].i == 1
        return "training_mode=1" if training else ""
    if opset >= 7:
        return f"{outputs} outputs" if outputs > 1 else ""
    is_test = "is_test" in attributes and attributes["is_test"].i != 0
    return "" if is_test else "is_test=0"


def _path(node: "NodeProto") -> str:
    for key, called in zip(list(node.input)[1:5], _INPUTS, strict=False):
        path, _, last = key.rpartition(".")
        if last == called and path:
            return path
    return node.name or (node.output[0] if node.output else "BatchNormalization")


def _free(path: str, taken: Mapping[str, Any]) -> str:
    """Return the path, followed by the number of the call if a layer is called several times."""
    number = 2
    free = path
    while free in taken:
        free, number = f"{path} (call {number})", number + 1
    return free


def _tensor(proto: "TensorProto | None", folder: str, name: str) -> Tensor | None:
    if proto is None:
        return None
    from onnx import TensorProto, external_data_helper, numpy_helper

    try:
        if proto.data_location == TensorProto.EXTERNAL:
            copy = TensorProto()
            copy.CopyFrom(proto)
            # It refuses paths outside of the folder.
            external_data_helper.load_external_data_for_tensor(copy, folder)
            proto = copy
        return torch.from_numpy(numpy_helper.to_array(proto).copy()).flatten()
    except Exception as error:
        said = (str(error).strip() or "without a text").splitlines()[0]
        raise DataError(f"{name} lacks the tensor {proto.name!r}: {type(error).__name__}: {said}") from None
