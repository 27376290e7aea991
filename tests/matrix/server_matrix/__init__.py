"""The same applications on every server: what each of them shows, as a table that is made by doing it."""
