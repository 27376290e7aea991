"""Observability for WebSocket handshakes."""
