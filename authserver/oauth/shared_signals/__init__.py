"""Shared Signals (OpenID SSF 1.0): security events for resource servers that do not follow the change feed.

- ``metadata``: the configuration document. ``receiver``: who calls, and the JSON of its requests.
- ``stream_endpoint``, ``status_endpoint``, ``subject_endpoint``, ``verification_endpoint``: a receiver's streams.
- ``poll_endpoint``: delivery by poll (RFC 8936). ``pushes``: delivery by push (RFC 8935).
"""
