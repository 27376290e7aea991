"""What goes out about connections: spans and metrics."""
