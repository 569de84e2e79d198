"""What ``Dockerfile``, ``compose.yaml`` and ``deploy/`` promise, tried with the real programs."""
