"""The machine endpoints over WSGI and HTTP, and published attacks on them."""
