"""One training run in several processes: communication, failure, and the shares of the work of a step."""

from normwise.training.parallel.alone import Alone
from normwise.training.parallel.processes import Processes
from normwise.training.parallel.shared_work import SharedWork

__all__ = ["Alone", "Processes", "SharedWork"]
