"""Bounds and tests that know nothing of handshakes: order statistics, e-processes, Holm's rule, burn rates."""
