"""The door: what an OTLP request must be before it is accepted, and what is answered when it isn't."""
