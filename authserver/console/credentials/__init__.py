"""Application credentials: list, create, reveal the secret once, detail, change, snippets."""
