"""Application credentials: ``listing``, ``create``, ``reveal`` (the secret, once), ``detail``, ``change``.

``explain`` tells why a token ended. ``client_keys`` adds and removes public keys, ``client_trusts`` issuers whose
tokens stand for it, ``certificates`` TLS certificates; ``restrictions`` holds it to more; ``expiry`` says what ends
soon; ``snippets`` and ``postman`` give code and a collection to paste.
"""
