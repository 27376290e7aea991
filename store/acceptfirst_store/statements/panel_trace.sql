-- For: Handshake detail, panel 15. The spans of one trace, in the columns that Grafana's trace panel wants.
-- Parameters: trace_id (32 hex digits; another text finds nothing).
-- Columns: those of the ClickHouse data source's own trace queries.
SELECT
    TraceId AS traceID, SpanId AS spanID, ParentSpanId AS parentSpanID, ServiceName AS serviceName, SpanName AS operationName,
    toUnixTimestamp64Micro(Timestamp) / 1e3 AS startTime,
    Duration / 1e6 AS duration,
    arrayMap(key -> map('key', key, 'value', SpanAttributes[key]), mapKeys(SpanAttributes)) AS tags,
    arrayMap(key -> map('key', key, 'value', ResourceAttributes[key]), mapKeys(ResourceAttributes)) AS serviceTags,
    if(StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) AS statusCode,
    arrayMap(
        (name, at, attributes) -> tuple(name, toString(toUnixTimestamp64Milli(at)),
            arrayMap(key -> map('key', key, 'value', attributes[key]), mapKeys(attributes)))
            ::Tuple(name String, timestamp String, fields Array(Map(String, String))),
        Events.Name, Events.Timestamp, Events.Attributes) AS logs,
    SpanKind AS kind, StatusMessage AS statusMessage,
    ScopeName AS instrumentationLibraryName, ScopeVersion AS instrumentationLibraryVersion, TraceState AS traceState
FROM acceptfirst.otel_traces
WHERE TraceId = {trace_id:String} AND length({trace_id:String}) = 32
    AND Timestamp >= (SELECT min(Start) FROM acceptfirst.otel_traces_trace_id_ts WHERE TraceId = {trace_id:String})
    AND Timestamp <= (SELECT max(End) FROM acceptfirst.otel_traces_trace_id_ts WHERE TraceId = {trace_id:String}) + toIntervalSecond(1)
ORDER BY startTime, spanID
LIMIT 1 BY spanID
LIMIT 1000
