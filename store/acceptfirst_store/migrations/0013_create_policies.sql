-- 2026-11-25. WHY: boards, reports and people ask what holds now, not what happened: one row an environment, fed by
-- policy_events, so that the two can't tell different stories. Read it with FINAL.
CREATE TABLE IF NOT EXISTS acceptfirst.policies
(
    environment LowCardinality(String),
    revision UInt64,
    updated_at DateTime64(3, 'UTC'),
    in_force String,
    candidate String,
    share Float64
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY environment
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS acceptfirst.policies_view TO acceptfirst.policies AS
SELECT environment, revision, happened_at AS updated_at, in_force, candidate, share
FROM acceptfirst.policy_events;
