"""Models changed, and the change proven."""

from normwise.find import find
from normwise.surgery.accelerate import accelerate
from normwise.surgery.biases import remove_biases
from normwise.surgery.convert import convert
from normwise.surgery.fold import fold
from normwise.surgery.freeze import freeze, unfreeze
from normwise.surgery.insert import insert
from normwise.surgery.onnx import export_onnx

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
