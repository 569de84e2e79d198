"""What holds for the repository as a whole: docs, configuration, telemetry, benchmark, layout."""
