"""A first connection to an address, before a library tries for longer than a user waits."""

import re
import socket
import time

from normwise.errors import ClusterError

_ADDRESS = re.compile(r"(?:(?P<scheme>[a-z]+)://)?(?P<host>[^/]+):(?P<port>\d{1,5})")


def check_answering(address: str, seconds: float, schemes: tuple[str, ...], what: str, start: str) -> None:
    """Check that a server accepts connections at an address, within some time.

    Args:
        address: Host and port, perhaps with a scheme before them.
        seconds: Seconds to try.
        schemes: Schemes that the address may have.
        what: Description of the expected server, for the error.
        start: Command that starts it, for the error.

    Raises:
        ClusterError: the address is invalid, or no server accepts connections.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) >= 2**16 or found["scheme"] not in (None, *schemes):
        expected = " or ".join(("HOST:PORT", *(f"{scheme}://HOST:PORT" for scheme in schemes)))
        raise ClusterError(f"{address!r} is not an address of a {what}; expected {expected}")
    ends = time.monotonic() + seconds
    while True:
        left = ends - time.monotonic()
        try:
            socket.create_connection((found["host"].strip("[]"), int(found["port"])), max(left, 0.1)).close()
            return
        except (OSError, UnicodeError) as error:
            if left <= 0:
                raise ClusterError(
                    f"no {what} answers at {address} within {seconds:g} s ({error}); start one by: {start}"
                ) from None
            time.sleep(min(0.2, left))
