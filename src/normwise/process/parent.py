"""A process that does not outlive the one that started it.

Nothing else of normwise is imported here, nor torch: a process begins to watch before it has imported these.
"""

import os
import signal
import threading
import time
from functools import cache


@cache
def end_with_parent(parent: int) -> None:
    """End this process soon after its parent is gone: killed, that can't tell its processes to stop.

    An interruption is the parent's to answer, which ends its processes then.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
