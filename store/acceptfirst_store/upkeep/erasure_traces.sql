-- For: the traces that spans of some connections belong to.
-- Parameters: given_ids Array(String) (as the spans carry them), first_day, last_day Date.
-- Columns: trace_id.
SELECT DISTINCT TraceId AS trace_id
FROM acceptfirst.otel_traces
WHERE toDate(Timestamp) >= {first_day:Date} AND toDate(Timestamp) <= {last_day:Date}
    AND ScopeName = 'acceptfirst' AND has({given_ids:Array(String)}, SpanAttributes['acceptfirst.connection.id'])
