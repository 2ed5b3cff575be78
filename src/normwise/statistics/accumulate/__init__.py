"""Statistics of a batch that is split into micro-batches, as in gradient accumulation."""
