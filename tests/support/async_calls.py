"""Runs a coroutine for a test that is no coroutine itself."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def run(coroutine, seconds=60):
    """Its result. On a thread of its own: the browser of other tests leaves a loop running on the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result(seconds)
