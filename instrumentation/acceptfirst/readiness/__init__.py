"""When a connection is ready for messages, and what keeps messages back until then."""
