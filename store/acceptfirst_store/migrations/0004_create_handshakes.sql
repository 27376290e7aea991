-- 2026-11-24. WHY: one row a connection, settled from spans that come in any order, in any framing, more than once.
-- So every column is an aggregate that doesn't care: max of values that are either right or empty, min and max of
-- times, unions of sets. Read with FINAL. Never: 0 in connected_ns, ready_ns, first_message_ns and close_code, the
-- epoch in *_at. Unknown: NULL in dwell_ms and idle_ms. `signature` is the longest seen (its length leads the maximum).
CREATE TABLE IF NOT EXISTS acceptfirst.handshakes
(
    connection_id FixedString(16),
    environment SimpleAggregateFunction(max, LowCardinality(String)),
    service SimpleAggregateFunction(max, LowCardinality(String)),
    service_version SimpleAggregateFunction(max, LowCardinality(String)),
    route SimpleAggregateFunction(max, LowCardinality(String)),
    attempt SimpleAggregateFunction(max, UInt16),
    readiness_mode SimpleAggregateFunction(max, LowCardinality(String)),
    gate SimpleAggregateFunction(max, LowCardinality(String)),
    policy_version SimpleAggregateFunction(max, LowCardinality(String)),
    policy_arm SimpleAggregateFunction(max, LowCardinality(String)),
    weight SimpleAggregateFunction(max, Float64),
    delay_applied_ms SimpleAggregateFunction(max, Float64),
    pending_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    connected_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    ready_at SimpleAggregateFunction(max, DateTime64(9, 'UTC')),
    connected_ns UInt64 ALIAS if(toUnixTimestamp64Nano(connected_at) = 0, 0,
        toUInt64(greatest(0, toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(pending_at)))),
    ready_ns UInt64 ALIAS if(toUnixTimestamp64Nano(ready_at) = 0, 0,
        toUInt64(greatest(0, toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(pending_at)))),
    first_message_ns SimpleAggregateFunction(max, UInt64),
    ended_by SimpleAggregateFunction(max, LowCardinality(String)),
    outcome String ALIAS multiIf(
        toUnixTimestamp64Nano(ready_at) != 0, 'ready',
        ended_by = 'timeout', 'timed_out',
        ended_by IN ('exception', 'return'), 'failed',
        ended_by IN ('denial', 'close'), 'rejected',
        ended_by = 'disconnect', 'abandoned',
        'open'),
    ranked_signature SimpleAggregateFunction(max, String),
    signature String ALIAS substring(ranked_signature, 2),
    patterns SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    close_code SimpleAggregateFunction(max, UInt16),
    close_initiator SimpleAggregateFunction(max, LowCardinality(String)),
    messages_received SimpleAggregateFunction(max, UInt64),
    messages_sent SimpleAggregateFunction(max, UInt64),
    messages_early SimpleAggregateFunction(max, UInt64),
    phases SimpleAggregateFunction(maxMap, Map(String, Float64)),
    error_type SimpleAggregateFunction(max, LowCardinality(String)),
    error_kind SimpleAggregateFunction(max, LowCardinality(String)),
    dwell_ms SimpleAggregateFunction(max, Nullable(Float64)),
    idle_ms SimpleAggregateFunction(max, Nullable(Float64)),
    user_hash SimpleAggregateFunction(max, String),
    first_seen SimpleAggregateFunction(min, DateTime64(9, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(9, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(toUInt16(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 86400000)))
ORDER BY connection_id
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
         fsync_after_insert = 1, fsync_part_directory = 1;
