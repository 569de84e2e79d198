"""What Flask serves besides the console, and where.

``health``: livez, readyz, metrics. ``error_pages``: errors as pages or JSON. ``path_prefix``: all of it below the path
of the issuer.
"""
