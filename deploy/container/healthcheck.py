"""What the image's HEALTHCHECK runs: asks ``/livez`` of the server in this container; exit code 0 when it answers 200.

It needs the standard library only, and reads ``AUTHSERVER_BIND`` (or ``AUTHSERVER_BIND_FILE``) as the server does.
"""

import http.client
import os
import sys
from pathlib import Path

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask what listens everywhere
_SECONDS = 4


def bound() -> tuple[str, int]:
    """Where the server of this container can be asked: host and port."""
    path = os.environ.get("AUTHSERVER_BIND_FILE")
    bind = Path(path).read_text(encoding="utf-8").strip() if path else os.environ.get("AUTHSERVER_BIND", "")
    host, _, port = (bind or "127.0.0.1:8000").rpartition(":")
    host = host.strip("[]")
    return _EVERY_ADDRESS.get(host, host), int(port)


def main() -> int:
    """Ask once; the exit code. What is wrong is one line, which ``docker inspect`` shows."""
    try:
        connection = http.client.HTTPConnection(*bound(), timeout=_SECONDS)
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stdout.write(f"/livez does not answer: {error}\n")
        return 1
    sys.stdout.write(f"/livez answers {status}\n")
    return int(status != 200)  # noqa: PLR2004 - RFC 9110 §15.3.1


if __name__ == "__main__":
    sys.exit(main())
