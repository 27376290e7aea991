"""Which races the stored connections show: the catalogue as SQL, and the patterns that many connections make."""
