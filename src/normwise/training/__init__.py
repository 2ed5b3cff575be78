"""One small, exact, resumable training loop."""

from normwise.training.measures import AT_EVERY_POINT, AT_THE_END
from normwise.training.parallel import Processes
from normwise.training.predict import predict
from normwise.training.run.folder import RunFolder
from normwise.training.train import network_of, train
from normwise.training.trained import trained_network

__all__ = [
    "AT_EVERY_POINT",
    "AT_THE_END",
    "Processes",
    "RunFolder",
    "network_of",
    "predict",
    "train",
    "trained_network",
]
