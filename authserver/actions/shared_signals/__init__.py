"""Shared Signals (SSF 1.0): security events for resource servers that asked for them.

- ``streams``: a resource server reads and sets its streams; the operator switches them.
- ``delivery``: what a receiver gets next, by poll or by push, and what it acknowledged.
"""
