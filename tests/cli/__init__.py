"""The command line, in one process and as a process of its own."""
