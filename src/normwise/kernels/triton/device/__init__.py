"""Functions that run on the GPU, written in Triton's language."""
