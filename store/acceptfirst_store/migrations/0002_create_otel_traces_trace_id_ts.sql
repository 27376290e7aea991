-- 2026-11-24. WHY: a trace is asked for by its id, but otel_traces is sorted by service and time; this table says
-- when a trace was, so that the read touches one partition. It aggregates, so that a resend changes nothing.
CREATE TABLE IF NOT EXISTS acceptfirst.otel_traces_trace_id_ts
(
    TraceId String CODEC(ZSTD(1)),
    Start SimpleAggregateFunction(min, DateTime) CODEC(ZSTD(1)),
    End SimpleAggregateFunction(max, DateTime) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfWeek(Start)
ORDER BY TraceId
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000,
         fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS acceptfirst.otel_traces_trace_id_ts_mv TO acceptfirst.otel_traces_trace_id_ts
AS SELECT TraceId, toDateTime(min(Timestamp)) AS Start, toDateTime(max(Timestamp)) AS End
FROM acceptfirst.otel_traces
WHERE TraceId != ''
GROUP BY TraceId;
