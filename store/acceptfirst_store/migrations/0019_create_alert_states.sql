-- 2026-11-25. WHY: the evaluator must know after a restart what was pending or firing since when and who was told, and the
-- report how often alerts fired and for how long. One row an episode of an alert: from the first time its condition held
-- until it is over. Each evaluation that changes it writes it again with a later updated_at. Read it with FINAL.
-- `fingerprint` stands for the labels, which never hold a value. Never: the epoch in fired_at and resolved_at. One that was
-- over before it fired is `resolved` without fired_at. `told_firing` and `told_resolved`: receiver → when it took the news.
CREATE TABLE IF NOT EXISTS acceptfirst.alert_states
(
    fingerprint String,
    active_since DateTime64(3, 'UTC'),
    rule LowCardinality(String),
    alertname LowCardinality(String),
    severity LowCardinality(String),
    window LowCardinality(String),
    environment LowCardinality(String),
    service LowCardinality(String),
    route LowCardinality(String),
    pattern LowCardinality(String),
    state LowCardinality(String),
    value Nullable(Float64),
    threshold Float64,
    n UInt64,
    summary String,
    description String,
    last_active_at DateTime64(3, 'UTC'),
    fired_at DateTime64(3, 'UTC'),
    resolved_at DateTime64(3, 'UTC'),
    told_firing Map(String, DateTime64(3, 'UTC')),
    told_resolved Map(String, DateTime64(3, 'UTC')),
    updated_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (fingerprint, active_since)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;
