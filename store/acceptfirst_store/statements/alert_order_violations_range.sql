-- For: alerts check over a range, AF-03: what alert_order_violations answers at each of many looks, in one pass: a violation
-- goes to each of the few looks whose window it is in.
-- Parameters: those of alert_order_violations but at; first_s, last_s, step_s, threshold, n_min as in alert_budget_burn_range.
-- Columns: as of alert_budget_burn_range, with the pattern; judged counts looks.
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({window_s:UInt32}) AS width
SELECT
    environment, service, route, pattern,
    if(countIf(holds) = 0, NULL, maxIf(broken, holds)) AS value,
    argMaxIf(broken, (broken, -look_s), holds) AS n,
    minIf(look_s, holds) AS first_s, maxIf(look_s, holds) AS last_s,
    countIf(broken >= {n_min:UInt32}) AS judged
FROM (
    SELECT
        environment, service, route, pattern, look_s, uniqExact(connection) AS broken,
        broken > {threshold:Float64} AND broken >= {n_min:UInt32} AS holds
    FROM (
        SELECT
            SpanAttributes['acceptfirst.connection.id'] AS connection,
            multiIf(
                SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
                ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
                ResourceAttributes['deployment.environment']) AS given_environment,
            transform(lower(trimBoth(given_environment)),
                ['prod', 'live', 'stage', 'test', 'ci', 'dev', 'local', 'production', 'staging', 'testing', 'development'],
                ['production', 'production', 'staging', 'testing', 'testing', 'development', 'development',
                 'production', 'staging', 'testing', 'development'], given_environment) AS environment,
            ServiceName AS service, SpanAttributes['http.route'] AS route,
            SpanAttributes['acceptfirst.pattern.type'] AS pattern,
            intDiv(toUnixTimestamp64Nano(Timestamp) + 999999999, 1000000000) AS happened_s
        FROM acceptfirst.otel_traces
        WHERE SpanName = 'websocket.violation' AND ScopeName = 'acceptfirst' AND connection != '' AND pattern != ''
            AND Timestamp > toDateTime64(greatest(0, first_look - width), 9, 'UTC')
            AND Timestamp <= toDateTime64(last_look, 9, 'UTC')
            AND environment = {of_environment:String}
            AND ({environment:String} = '' OR environment = {environment:String})
    )
    ARRAY JOIN range(
        greatest(first_look, intDiv(happened_s + step - 1, step) * step),
        least(last_look + 1, happened_s + width), step) AS look_s
    GROUP BY environment, service, route, pattern, look_s
)
GROUP BY environment, service, route, pattern
ORDER BY value DESC NULLS LAST, environment, service, route, pattern
LIMIT 1000
