-- For: alerts check over a range, AF-08: what alert_tuning_drift answers at each of many looks, in one pass: a connection goes to
-- each of the few looks whose window it is in, and meets the recommendation that was the latest then.
-- Parameters: those of alert_tuning_drift but at; first_s, last_s, step_s, threshold, n_min as in alert_budget_burn_range.
-- Columns: as of alert_budget_burn_range; judged counts looks.
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({window_s:UInt32}) AS width,
    (moment -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(
        toUInt64(intDiv(greatest(0, moment), 86400) * 86400000))), 3), repeat('\0', 10)), 16)) AS day_id
SELECT
    environment, service, route, '' AS pattern,
    if(countIf(holds) = 0, NULL, maxIf(off, holds)) AS value,
    argMaxIf(connections, (off, -look_s), holds) AS n,
    minIf(look_s, holds) AS first_s, maxIf(look_s, holds) AS last_s,
    countIf(connections >= {n_min:UInt32}) AS judged
FROM (
    SELECT
        environment, service, route, look_s, connections,
        abs(applied_ms - recommended_ms) / greatest(recommended_ms, 1) AS off,
        isFinite(off) AND off > {threshold:Float64} AND connections >= {n_min:UInt32} AS holds
    FROM (
        SELECT
            environment, service, route, look_s, toDateTime64(look_s, 3, 'UTC') AS look_at,
            quantileExact(0.5)(delay_applied_ms) AS applied_ms, count() AS connections
        FROM (
            SELECT
                connection_id, toString(environment) AS environment, toString(service) AS service, toString(route) AS route,
                delay_applied_ms, intDiv(toUnixTimestamp64Nano(first_seen) + 999999999, 1000000000) AS begun_s
            FROM acceptfirst.handshakes FINAL
            WHERE connection_id >= day_id(first_look - width)
                AND first_seen > toDateTime64(greatest(0, first_look - width), 9, 'UTC')
                AND first_seen <= toDateTime64(last_look, 9, 'UTC')
                AND weight > 0 AND readiness_mode = 'blind' AND policy_arm != 'canary'
                AND ({environment:String} = '' OR environment = {environment:String})
                AND (toString(environment), toString(service), toString(route)) IN (
                    SELECT toString(environment), toString(service), toString(route)
                    FROM acceptfirst.tuning_recommendations FINAL
                    WHERE verdict = 'delay')
        )
        ARRAY JOIN range(
            greatest(first_look, intDiv(begun_s + step - 1, step) * step),
            least(last_look + 1, begun_s + width), step) AS look_s
        WHERE connection_id >= day_id(look_s - width)
        GROUP BY environment, service, route, look_s
    ) AS applied
    ASOF INNER JOIN (
        SELECT
            toString(environment) AS environment, toString(service) AS service, toString(route) AS route,
            verdict, assumeNotNull(delay_ms) AS recommended_ms, updated_at
        FROM acceptfirst.tuning_recommendations FINAL
        WHERE verdict != 'code_fix' AND status NOT IN ('rejected', 'rolled_back')
    ) AS recommended
    ON applied.environment = recommended.environment AND applied.service = recommended.service
        AND applied.route = recommended.route AND applied.look_at >= recommended.updated_at
    WHERE verdict = 'delay'
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
