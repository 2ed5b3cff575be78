"""One training run in several processes: how they talk, how they end, and how they share the work of a step."""

from normwise.training.parallel.alone import Alone
from normwise.training.parallel.processes import Processes
from normwise.training.parallel.shared_work import SharedWork

__all__ = ["Alone", "Processes", "SharedWork"]
