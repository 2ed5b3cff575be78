"""Numbers of BN layers in files without a model: ONNX files."""
