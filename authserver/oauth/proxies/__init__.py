"""What is taken from the proxies before this server, and from nobody else.

- ``peer``: the address of the caller, whether the connection is private, and the header with its certificate.
- ``client_certificate``: reads that header, in the forms that proxies and gateways write.
"""
