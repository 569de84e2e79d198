"""Logs, metrics, health and error pages."""
