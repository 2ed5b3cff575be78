"""Styles and words of the report: the same thing looks and reads the same in every figure."""

BATCH, NONE, RECOMPUTED, GROUP, LAYER, RECURRENT, UNMASKED = range(7)
# There are seven to look at: these are those of things that stand in other figures.
RENORM, GHOST, SYNCHRONISED = 7 + NONE, 7 + RECOMPUTED, 7 + LAYER
STYLE = {
    "batch": BATCH,
    "none": NONE,
    "group": GROUP,
    "layer": LAYER,
    "recurrent_batch": RECURRENT,
    "batch_unmasked": UNMASKED,
}
LABEL = {
    "batch": "with BN",
    "none": "without BN",
    "group": "GroupNorm",
    "layer": "LayerNorm",
    "recurrent_batch": "BN within the recurrence",
    "recurrent_layer": "LayerNorm within the recurrence",
    "batch_unmasked": "BN over padding, too",
}

#: A note to the reader of averaged accuracies.
DIVERGED = "A run that diverged is not in the mean: it is a cross at the foot."
