"""Receives OTLP, keeps it in a log that was fsynced before it was acknowledged, and stores it exactly once."""
