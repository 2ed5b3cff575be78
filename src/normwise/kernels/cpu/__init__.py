"""The compiled kernels for CPUs."""
