"""Signing in: password, one-time link, OpenID provider; reauthentication and sign-out.

``pages``: the forms. ``login_throttle``: waits after wrong passwords. ``single_sign_on``: by an OpenID provider.
"""
