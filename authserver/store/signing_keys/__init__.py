"""Signing keys and the log of who fetches the JWKS."""
