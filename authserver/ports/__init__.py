"""What actions need from the world, as Protocols and records: one module a subject.

Each method states its promise in one line; ``tests/store/`` has one test a promise and
runs it on every backend. ``errors`` has the exceptions that both sides share;
``console_reads/`` has the reads of the console's pages. May import ``audit``,
``rules`` and the key records of ``keys``; nothing else.
"""
