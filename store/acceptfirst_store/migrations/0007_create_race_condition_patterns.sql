-- 2026-11-24. WHY: what the classifier concluded, one row an occurrence. The key is the occurrence and the version
-- is the classifier's, so that classifying twice, or again with a better catalogue, replaces and never adds.
CREATE TABLE IF NOT EXISTS acceptfirst.race_condition_patterns
(
    connection_id FixedString(16),
    pattern_type LowCardinality(String),
    sequence UInt16,
    severity LowCardinality(String),
    environment LowCardinality(String),
    service LowCardinality(String),
    route LowCardinality(String),
    detected_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    evidence String CODEC(ZSTD(1)),
    delay_helps LowCardinality(String),
    classifier_version UInt64
)
ENGINE = ReplacingMergeTree(classifier_version)
PARTITION BY toDate(toUInt16(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 86400000)))
ORDER BY (connection_id, pattern_type, sequence)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1;
