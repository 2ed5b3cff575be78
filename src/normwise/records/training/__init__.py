"""Training runs: configuration, measurements, predictions."""
