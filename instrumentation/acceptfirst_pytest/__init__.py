"""The pytest plugin: a test fails when a WebSocket race occurs in it.

A package of its own, because pytest imports a plugin before anything else in every run of whoever has the distribution
installed: ``acceptfirst`` itself, and OpenTelemetry with it, is imported only when a run asks for races.
"""
