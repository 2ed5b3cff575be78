"""Statistics of a batch that a model sees in parts: micro-batches, as gradient accumulation makes them."""
