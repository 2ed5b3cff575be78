"""The operator ``normwise::batch_norm`` under Inductor: formulas on a CPU, and memory orders where it stays one."""

from normwise.kernels.inductor.registration import register_once

__all__ = ["register_once"]
