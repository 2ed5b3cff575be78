"""Speed of the layers on this machine, against torch's and against the bandwidth of memory."""

from normwise.benchmark.cases import CASES, Case
from normwise.benchmark.device import cases_of
from normwise.benchmark.run import run_benchmark

__all__ = ["CASES", "Case", "cases_of", "run_benchmark"]
