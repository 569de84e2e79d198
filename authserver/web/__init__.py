"""What Flask serves besides the console: ``health`` (livez, readyz, metrics) and ``error_pages``."""
