"""Console sessions, one-time links and failed sign-in attempts."""
