"""Folding of BN into the layer next to it, in a copy of the model that is proven equal."""
