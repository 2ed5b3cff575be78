"""BN704: an ONNX file whose BN layers are in training mode."""

from collections.abc import Iterable, Sequence

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import FileCase, Rule, measured
from normwise.records import Source, Symptom


class OnnxInTrainingMode(Rule):
    """An ONNX file whose BN layers are in training mode."""

    code = "BN704"
    name = "onnx-in-training-mode"
    severity = "error"
    needs = ("onnx",)
    finds = "BatchNormalization nodes of an ONNX file that normalise by each batch, as training does."
    why = (
        "Such a node ignores the running mean and variance in the file. The output for a sample depends on the other "
        "samples of the batch, and a dense network gives the same output for any single sample. Most inference "
        "runtimes refuse the node or compute it differently."
    )
    measured = (
        "The rule reads the file. The mode is shown by the attribute training_mode from version 14 of the operator "
        "on, by more than one output in versions 7 to 13, and by is_test=0 in older versions."
    )
    fixed = (
        "Call model.eval() and export the model again, with statistics that were trained. The file itself is not "
        "changed: nothing has used its statistics, so they may be as wrong as its mode."
    )
    safety = "manual"
    sources = (
        Source(
            "ONNX operators",
            "BatchNormalization",
            "https://onnx.ai/onnx/operators/onnx__BatchNormalization.html",
        ),
        Source("anomalib issue 2909", "", "https://github.com/open-edge-platform/anomalib/issues/2909"),
        Source("pytorch issue 75252", "", "https://github.com/pytorch/pytorch/issues/75252"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the nodes in training mode."""
        for path, node in (facts.onnx or {}).items():
            if node.in_training:
                yield Symptom(
                    path,
                    facts.norms[path].kind,
                    (measured("channels", facts.norms[path].channels), measured("opset", node.opset)),
                    f"{node.told_by} in the node {node.node!r}" if node.node else node.told_by,
                    facts.norms[path].channels,
                )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the nodes."""
        return (
            f"{len(symptoms)} of {len(facts.norms)} BatchNormalization nodes normalise by each batch instead of the "
            "running statistics in the file."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Export again."""
        return (
            "model.eval()\n"
            'torch.onnx.export(model, (example,), "model.onnx")  # without training=TrainingMode.TRAINING'
        )

    def sick(self) -> FileCase:
        """Return a node with ``training_mode=1``."""
        from onnx import TensorProto, helper

        names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
        node = helper.make_node(
            "BatchNormalization", ["x", *names], ["y", "new_mean", "new_var"], name="bn", training_mode=1
        )
        shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 2])
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 2])
        numbers = [helper.make_tensor(name, TensorProto.FLOAT, [2], [1.5, 0.5]) for name in names]
        graph = helper.make_graph([node], "net", [shape], [result], numbers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        return FileCase(model.SerializeToString())

    def healthy(self) -> FileCase:
        """Return a node in evaluation mode."""
        from onnx import TensorProto, helper

        names = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"]
        node = helper.make_node("BatchNormalization", ["x", *names], ["y"], name="bn")
        shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 2])
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [8, 2])
        numbers = [helper.make_tensor(name, TensorProto.FLOAT, [2], [1.5, 0.5]) for name in names]
        graph = helper.make_graph([node], "net", [shape], [result], numbers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        return FileCase(model.SerializeToString())
