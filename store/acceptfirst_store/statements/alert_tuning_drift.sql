-- For: alert AF-08. The delay that connections in blind mode got, against the latest recommendation of a delay that nobody
-- rejected. Where waiting for readiness was recommended instead, there is no delay to be off from.
-- Parameters: at (the instant), environment (empty: any), window_s (seconds).
-- Columns: environment, service, route, pattern (empty), value (difference as a share of the recommended delay), n (connections).
WITH
    {at:DateTime64(6, 'UTC')} - toIntervalSecond({window_s:UInt32}) AS since_at,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at,
    id_at(toUnixTimestamp(toStartOfDay(since_at)) * 1000) AS first_id
SELECT
    environment, service, route, '' AS pattern,
    abs(applied_ms - recommended_ms) / greatest(recommended_ms, 1) AS value,
    connections AS n
FROM (
    SELECT
        toString(environment) AS environment, toString(service) AS service, toString(route) AS route,
        quantileExact(0.5)(delay_applied_ms) AS applied_ms, count() AS connections
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id >= first_id
        AND first_seen > since_at AND first_seen <= {at:DateTime64(6, 'UTC')}
        AND weight > 0 AND readiness_mode = 'blind' AND policy_arm != 'canary'
    GROUP BY environment, service, route
) AS applied
INNER JOIN (
    SELECT
        toString(environment) AS environment, toString(service) AS service, toString(route) AS route,
        verdict, assumeNotNull(delay_ms) AS recommended_ms
    FROM acceptfirst.tuning_recommendations FINAL
    WHERE updated_at <= {at:DateTime64(6, 'UTC')} AND verdict != 'code_fix' AND status NOT IN ('rejected', 'rolled_back')
    ORDER BY updated_at DESC
    LIMIT 1 BY environment, service, route
) AS recommended USING (environment, service, route)
WHERE verdict = 'delay' AND ({environment:String} = '' OR environment = {environment:String})
ORDER BY value DESC, environment, service, route
LIMIT 1000
