"""Turns stored handshakes into causes, recommendations and reports."""
