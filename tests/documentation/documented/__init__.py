"""Runs what the documentation tells its readers to run."""
