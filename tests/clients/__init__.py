"""Real client libraries against a really started server."""
