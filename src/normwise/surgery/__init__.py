"""Changes of models, each proven on an example."""

from normwise.layers import find
from normwise.surgery.accelerate.accelerate import accelerate
from normwise.surgery.convert.convert import convert
from normwise.surgery.export_onnx import export_onnx
from normwise.surgery.fold.fold import fold
from normwise.surgery.freeze import freeze, unfreeze
from normwise.surgery.insert.insert import insert
from normwise.surgery.remove_biases import remove_biases

__all__ = [
    "accelerate",
    "convert",
    "export_onnx",
    "find",
    "fold",
    "freeze",
    "insert",
    "remove_biases",
    "unfreeze",
]
