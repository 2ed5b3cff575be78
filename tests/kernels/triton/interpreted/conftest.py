"""The kernels for GPUs, interpreted on the CPU: `make test` runs these tests in a process of their own.

Triton decides when it is imported whether kernels are compiled or interpreted.
"""

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]
