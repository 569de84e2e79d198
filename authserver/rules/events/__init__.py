"""What is told outside, and how: pure functions of facts and an instant.

- ``catalogue``: the types of events, which change on record is which, and the body that is sent.
- ``signature``: secrets and signatures by Standard Webhooks.
- ``backoff``: when a delivery that failed is tried again, and when it is given up.
- ``unused``: when a credential that nobody uses is disabled.
- ``old_secret``: whether an old secret is still needed.
- ``mail``: who is mailed which events.
- ``addresses``: where a webhook may be sent (T-161): the URL, and the address that its host resolved to.
"""
