"""``python -m bench.peers NAME PORT WORKERS``; the database's URL is in ``BENCH_DATABASE_URL``."""

import os
import sys

from authserver.config import Config
from authserver.server import run
from bench.peers.orm import VARIABLE

if __name__ == "__main__":
    name, port, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    run(
        f"bench.peers.{name}:wsgi",
        host="127.0.0.1",
        port=port,
        workers=workers,
        # As many as ours has over the same database.
        threads=Config.model_construct(database_url=os.environ.get(VARIABLE, "")).serving_threads,
        announce=lambda: None,
    )
