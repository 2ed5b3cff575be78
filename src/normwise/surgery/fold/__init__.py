"""Folding of BN into the convolution or linear layer next to it."""
