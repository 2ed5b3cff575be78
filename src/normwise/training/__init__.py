"""One small, exact, resumable training loop."""

from normwise.training.evaluate import evaluation_of
from normwise.training.evaluate_batches import evaluate_batches
from normwise.training.measures import AT_EVERY_POINT, AT_THE_END
from normwise.training.parallel import Processes
from normwise.training.predict import predict
from normwise.training.run.folder import RunFolder
from normwise.training.run_weights import RunNetwork, network_of_weights, read_run_network, run_metadata
from normwise.training.train import network_of, train
from normwise.training.trained import trained_network

__all__ = [
    "AT_EVERY_POINT",
    "AT_THE_END",
    "Processes",
    "RunFolder",
    "RunNetwork",
    "evaluate_batches",
    "evaluation_of",
    "network_of",
    "network_of_weights",
    "predict",
    "read_run_network",
    "run_metadata",
    "train",
    "trained_network",
]
