"""Who is told what, in which form, and over which wire."""
