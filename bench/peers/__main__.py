"""``python -m bench.peers NAME PORT WORKERS``; the database's URL is in ``BENCH_DATABASE_URL``."""

import sys

from authserver.serve import run

_THREADS = 4
"""As ``AUTHSERVER_THREADS`` has it when not set."""

if __name__ == "__main__":
    name, port, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    run(
        f"bench.peers.{name}:wsgi",
        host="127.0.0.1",
        port=port,
        workers=workers,
        threads=_THREADS,
        announce=lambda: None,
    )
