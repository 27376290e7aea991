-- 2026-11-25. WHY: every step of a policy (proposed, promoted, rolled back) is a row that says who, when, why and on what
-- evidence, and with it the state that the step led to: one insert, so that no step is without its effect and no effect
-- without its step. `in_force` and `candidate` are documents as `GET /api/v1/policy/{environment}` gives them, empty where
-- there is none. `origin_revision` is the step that put in_force in force; `undo_revision` the step whose in_force a
-- rollback restores: 0 for the default policy, -1 for nothing.
CREATE TABLE IF NOT EXISTS acceptfirst.policy_events
(
    environment LowCardinality(String),
    revision UInt64,
    happened_at DateTime64(3, 'UTC'),
    action LowCardinality(String),
    version String,
    share Float64,
    actor String,
    reason String,
    evidence String,
    in_force String,
    candidate String,
    origin_revision Int64,
    undo_revision Int64
)
ENGINE = MergeTree
ORDER BY (environment, revision)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;
