"""What a credential proves itself with, other than a secret or a key of its own.

- ``trusts``: whose tokens stand for it. Its keys are changed by ``actions/client_keys``.
"""
