"""The demo: runs the incident with real processes, has AcceptFirst find and tune it, and checks every figure."""
