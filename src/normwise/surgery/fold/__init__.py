"""BN into the convolution or linear layer beside it."""
