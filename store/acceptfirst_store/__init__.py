"""What the collector and the analysis both know of the store: addresses, migrations and named statements."""
