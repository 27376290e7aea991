-- For: a connection's page: what the process itself reported about it, with the place in the code where it knew one.
-- Parameters: connection_id (32 hex digits as the process wrote them), service, since, until (around its life: the spans
-- are sorted by service and time, and an id of a connection is no part of that order).
-- Columns: pattern_type, severity, evidence, started_at, duration_ms (from the offending event's cause to the event).
SELECT
    SpanAttributes['acceptfirst.pattern.type'] AS pattern_type,
    SpanAttributes['acceptfirst.pattern.severity'] AS severity,
    SpanAttributes['acceptfirst.pattern.evidence'] AS evidence,
    toTimeZone(Timestamp, 'UTC') AS started_at,
    Duration / 1e6 AS duration_ms
FROM acceptfirst.otel_traces
WHERE ServiceName = {service:String} AND SpanName = 'websocket.violation'
    AND Timestamp >= {since:DateTime64(6, 'UTC')} AND Timestamp <= {until:DateTime64(6, 'UTC')}
    AND lower(SpanAttributes['acceptfirst.connection.id']) = lower({connection_id:String})
ORDER BY Timestamp, pattern_type
LIMIT 50
