"""Numbers of BN layers in files without a model: what an ONNX file says."""
