"""Console ``sessions``, one-time links and failed ``attempts`` to sign in; ``rows`` maps them to values."""
