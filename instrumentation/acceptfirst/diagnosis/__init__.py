"""Says what a connection's events mean: for people, with the place in the code."""
