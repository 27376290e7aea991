-- For: alert AF-03. Connections that broke the order, by pattern, when the violation happened (not when its connection began:
-- many a race is in the goodbye). From the spans themselves, since they are exported at once.
-- Parameters: at (the instant), environment (empty: any), of_environment (the one that it is about), window_s (seconds).
-- Columns: environment, service, route, pattern, value (connections, each once), n (the same).
WITH
    SpanAttributes['acceptfirst.connection.id'] AS connection,
    multiIf(
        SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
        ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) AS given_environment,
    transform(lower(trimBoth(given_environment)),
        ['prod', 'live', 'stage', 'test', 'ci', 'dev', 'local', 'production', 'staging', 'testing', 'development'],
        ['production', 'production', 'staging', 'testing', 'testing', 'development', 'development',
         'production', 'staging', 'testing', 'development'], given_environment) AS seen_environment
SELECT
    seen_environment AS environment, ServiceName AS service, SpanAttributes['http.route'] AS route,
    SpanAttributes['acceptfirst.pattern.type'] AS pattern,
    toFloat64(uniqExact(connection)) AS value,
    uniqExact(connection) AS n
FROM acceptfirst.otel_traces
WHERE SpanName = 'websocket.violation' AND ScopeName = 'acceptfirst' AND connection != '' AND pattern != ''
    AND Timestamp > {at:DateTime64(6, 'UTC')} - toIntervalSecond({window_s:UInt32}) AND Timestamp <= {at:DateTime64(6, 'UTC')}
    AND seen_environment = {of_environment:String}
    AND ({environment:String} = '' OR seen_environment = {environment:String})
GROUP BY environment, service, route, pattern
ORDER BY value DESC, service, route, pattern
LIMIT 1000
