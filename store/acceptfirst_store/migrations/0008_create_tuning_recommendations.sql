-- 2026-11-24. WHY: a recommendation is remembered with its evidence, so that next week can be compared with it and
-- somebody can ask who changed what and why. `from_values`, `to_values`, `cost` and `evidence` are JSON objects.
-- A change of status writes the row again with a later updated_at.
CREATE TABLE IF NOT EXISTS acceptfirst.tuning_recommendations
(
    recommendation_id String,
    created_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC'),
    environment LowCardinality(String),
    service LowCardinality(String),
    route LowCardinality(String),
    verdict LowCardinality(String),
    readiness_mode_seen LowCardinality(String),
    delay_ms Nullable(Float64),
    timeout_ms Nullable(Float64),
    poll_interval_ms Nullable(Float64),
    ladder_ms Array(Float64),
    slo Float64,
    confidence Float64,
    violation_rate Nullable(Float64),
    violation_rate_upper Nullable(Float64),
    delay_ms_estimate Nullable(Float64),
    n UInt64,
    n_missing UInt64,
    pattern LowCardinality(String),
    cost String,
    rationale String,
    from_values String,
    to_values String,
    evidence String,
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    provisional Bool,
    status LowCardinality(String)
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (environment, service, route, recommendation_id)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;
