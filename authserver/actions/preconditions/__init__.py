"""What several actions check before they change or return anything.

- ``client_assertion``: authenticates a client by what it signed. ``client_keys``: which public keys it may have.
- ``workload_token``: the same by the token of another issuer that its credential trusts.
- ``client_certificate``: the same by the TLS certificate that it came with.
- ``dpop_proof``: judges proofs of possession.
- ``token_limits``: how many live sessions a credential may have, and how often it may ask.
- ``administrators``: one must remain. ``token_algorithms``: which algorithm may be chosen.
- ``calling_resource_server``: authenticates a resource server.
"""
