"""What is told by Shared Signals (SSF 1.0, CAEP 1.0), as pure functions.

- ``events``: an entry of the list of what ended, as security events.
- ``progress``: which events a receiver of a stream has still to get.
"""
