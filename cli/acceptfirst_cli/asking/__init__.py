"""What a command asks and whom: a store that it opens, or a running collector."""
