-- For: days that hold spans of ours which no backfill has taken up. One row a day, in order.
-- Parameters: through_s UInt32 (Unix seconds: earlier spans are taken up).
-- Columns: day, spans.
SELECT toDate(Timestamp) AS day, count() AS spans
FROM acceptfirst.otel_traces
WHERE ScopeName = 'acceptfirst' AND Timestamp >= toDateTime({through_s:UInt32}, 'UTC')
GROUP BY day
ORDER BY day
