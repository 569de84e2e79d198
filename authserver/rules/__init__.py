"""Pure functions of facts and an instant. No clock, randomness, disk or framework.

- ``facts``: Instant, Span, Token, Standing (state of owner, credential, secret, key and settings), Reason, Decision.
- ``liveness``: a token is active only while every rule says so; the order is data (INV-05, 07, 08).
- ``idle``: a token unused for the idle timeout is dead (INV-06).
- ``role_version``: a token older than its owner's roles is dead (INV-01, INV-03).
- ``role_subset``: a token's roles are requested ∩ chosen ∩ held (INV-04).
- ``lifetime``: when a new token must end at the latest (INV-07).
- ``secret_format``: the text of a secret, and how two may overlap (INV-10). ``presented_secret``: what a client sent.
- ``client_authentication``: how a client proves who it is without a shared secret.
- ``claims``: the claims of a token, made and read back in one module.
- ``lease``: for how long a resource server may trust an active answer.
- ``token_hash``: the proof that a text was recorded as issued (INV-33).
- ``credential_status``: active, expiring, reduced, disabled, …: what lists show.
- ``key_readiness``: whether an announced key may sign. ``sign_in``: how long a console session and a proof hold.
- ``permission``: what builder roles open. ``password``: what a local password may be.
- ``events``: what webhooks and mail tell, how a delivery is signed, and where it may be sent.
- ``outbound``: where this server may send requests of its own.
- ``shared_signals``: what is told as security events, and what of it a receiver has still to get.
- ``names``: what roles, users and audiences may be called.
"""
