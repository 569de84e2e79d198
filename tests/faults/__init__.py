"""Kills, restarts, many nodes and races: histories are checked against the invariants."""
