"""BN into the layer beside it, in a copy of the model that is proven equal."""
