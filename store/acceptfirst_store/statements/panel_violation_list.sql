-- For: Handshake detail, panel 14. The latest violations, with their evidence and trace.
-- Parameters: since, until (of the violation), environments, services, routes, patterns (arrays; one that holds an empty text:
-- any).
-- Columns: time, environment, service, route, pattern, severity, evidence, connection_id, trace_id.
WITH
    multiIf(
        SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
        ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) AS given_environment,
    transform(lower(trimBoth(given_environment)),
        ['prod', 'live', 'stage', 'test', 'ci', 'dev', 'local', 'production', 'staging', 'testing', 'development'],
        ['production', 'production', 'staging', 'testing', 'testing', 'development', 'development',
         'production', 'staging', 'testing', 'development'], given_environment) AS seen_environment,
    SpanAttributes['acceptfirst.pattern.type'] AS seen_pattern
SELECT
    max(Timestamp) AS time,
    seen_environment AS environment, ServiceName AS service,
    leftUTF8(SpanAttributes['http.route'], 200) AS route, seen_pattern AS pattern,
    any(SpanAttributes['acceptfirst.pattern.severity']) AS severity,
    any(leftUTF8(SpanAttributes['acceptfirst.pattern.evidence'], 500)) AS evidence,
    SpanAttributes['acceptfirst.connection.id'] AS connection_id,
    TraceId AS trace_id
FROM acceptfirst.otel_traces
WHERE SpanName = 'websocket.violation' AND ScopeName = 'acceptfirst' AND seen_pattern != ''
    AND Timestamp >= {since:DateTime64(6, 'UTC')} AND Timestamp < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, seen_environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, ServiceName))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, SpanAttributes['http.route']))
    AND (has({patterns:Array(String)}, '') OR has({patterns:Array(String)}, seen_pattern))
GROUP BY environment, service, route, pattern, connection_id, trace_id
ORDER BY time DESC, connection_id, pattern
LIMIT 200
