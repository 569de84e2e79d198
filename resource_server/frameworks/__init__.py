"""Adapters for frameworks; each module needs its framework and nothing else.

``flask``, ``fastapi`` (and ``starlette``), ``django`` (and ``rest_framework``), ``wsgi``, ``asgi``, ``grpc``, ``mcp``.
"""
