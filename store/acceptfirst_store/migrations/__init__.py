"""The store's schema, as numbered SQL files that are applied in order and never edited afterwards.

A file `NNNN_verb_object.sql` opens with its date and why. Its statements are idempotent (IF NOT EXISTS), so that one
that was interrupted is simply run again. What was applied is remembered in `schema_migrations` with its checksum.
"""

from acceptfirst_store.migrations.runner import Migration, Status, all_migrations, migrate, migration_statuses

__all__ = ["Migration", "Status", "all_migrations", "migrate", "migration_statuses"]
