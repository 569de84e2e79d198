"""Translations of the console: English is the source, ``catalogs/`` has the other languages.

``messages`` translates at run time; ``translations`` finds what is missing or stale:
``python -m authserver.console.i18n.translations``.
"""
