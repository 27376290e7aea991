"""What a person at a terminal sees: tables, numbers in words, progress."""
