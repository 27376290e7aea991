"""What to do about a route's handshakes: from its sample to a verdict, its numbers and its sentences."""
