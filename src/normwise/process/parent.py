"""End of a process with the process that started it.

This module imports neither torch nor other modules of normwise: a process starts watching before it imports these.
"""

import os
import signal
import threading
import time
from functools import cache


@cache
def end_with_parent(parent: int) -> None:
    """End this process soon after its parent has died, since a killed parent can't stop its processes.

    Interruptions are ignored here: the parent handles them and ends its processes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
