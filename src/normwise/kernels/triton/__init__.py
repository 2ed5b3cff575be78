"""The Triton kernels for GPUs; only :mod:`normwise.kernels.triton.backend` is imported where none is used."""
