-- 2026-11-24. WHY: one narrow row a transition; the analysis reads milliseconds in states, not maps of strings.
-- Sorted by connection and sequence, so that the same span in another framing replaces its twin instead of joining it.
-- The partition is the day in the connection's id (its first 48 bits are Unix milliseconds), never the clock of a resend.
CREATE TABLE IF NOT EXISTS acceptfirst.handshake_transitions
(
    connection_id FixedString(16),
    sequence UInt16,
    environment LowCardinality(String),
    service LowCardinality(String),
    service_version LowCardinality(String),
    route LowCardinality(String),
    from_state LowCardinality(String),
    to_state LowCardinality(String),
    started_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),
    ended_at DateTime64(9, 'UTC') ALIAS addNanoseconds(started_at, duration_ns),
    trigger LowCardinality(String),
    attempt UInt16,
    readiness_mode LowCardinality(String),
    delay_applied_ms Float64,
    policy_version LowCardinality(String),
    policy_arm LowCardinality(String),
    weight Float64,
    trace_id FixedString(16)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(toUInt16(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 86400000)))
ORDER BY (connection_id, sequence)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
         fsync_after_insert = 1, fsync_part_directory = 1;
