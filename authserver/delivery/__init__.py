"""Tells events outside, on a thread of its own. Nothing here is on the path of a request.

- ``https_client``: one POST to an address that was judged first: no redirect, no proxy, limits of time and size.
- ``webhook_sender``: sends what is due at each webhook, and keeps what became of it.
- ``mail_sender``: the same for mail (SMTP); ``mail_texts``: what a mail says, in both languages.
- ``outbox_relay``: one round of all of it, by the node that holds the lease.

May import ``actions``, ``ports``, ``rules`` and ``telemetry``.
"""
