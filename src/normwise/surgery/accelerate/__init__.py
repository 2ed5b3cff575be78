"""Replacement of BN layers in any torch model by ours, fused with the following activations and additions."""
