"""General settings: read, change with a preview of what ends, history."""
