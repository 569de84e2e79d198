"""How a verifier decides that a token has not ended: one module a mode.

- ``introspection``: the client of the introspection endpoint, and mode "exact". ``leased``: mode "leased".
- ``feed``: mode "feed"; ``changes`` parses its documents. ``usage``: reports uses that were judged locally.
"""
