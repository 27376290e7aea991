"""The closed loop: a proposal, its canary, the decision, and whether the change did what it said."""
