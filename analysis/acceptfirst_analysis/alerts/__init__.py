"""Alerts: rules as data, their evaluation, what is remembered of them, and who is told."""
