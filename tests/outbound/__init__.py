"""Requests that the server itself makes."""
