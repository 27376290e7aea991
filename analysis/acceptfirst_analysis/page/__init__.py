"""The live page: what is open now, how the last handshakes went, what races, and what to do about it."""
