"""The life of signing keys in a running server."""
