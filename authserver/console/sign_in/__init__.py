"""Signing in: password, one-time link, OpenID provider; reauthentication and sign-out."""
