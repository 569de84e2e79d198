"""The console by requests, and by a real browser."""
