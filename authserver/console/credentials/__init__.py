"""Application credentials: ``listing``, ``create``, ``reveal`` (the secret, once), ``detail``, ``change``.

``expiry`` says what ends soon; ``snippets`` and ``postman`` give code and a collection to paste.
"""
