-- For: alerts check over a range, AF-04: what alert_accept_latency answers at each of many looks, in one pass. A quantile can't
-- be taken back out of a sum, so a minute goes to each of the few looks whose window it is in.
-- Parameters: those of alert_accept_latency but at; first_s, last_s, step_s, threshold, n_min as in alert_budget_burn_range.
-- Columns: as of alert_budget_burn_range; judged counts looks.
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({window_s:UInt32}) AS width
SELECT
    environment, service, route, '' AS pattern,
    if(countIf(holds) = 0, NULL, maxIf(accept_p99_s, holds)) AS value,
    argMaxIf(drawn, (accept_p99_s, -look_s), holds) AS n,
    minIf(look_s, holds) AS first_s, maxIf(look_s, holds) AS last_s,
    countIf(isFinite(accept_p99_s) AND drawn >= {n_min:UInt32}) AS judged
FROM (
    SELECT
        environment, service, route, look_s, sum(n) AS drawn,
        quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(accept_ms)[3] / 1e3 AS accept_p99_s,
        isFinite(accept_p99_s) AND accept_p99_s > {threshold:Float64} AND drawn >= {n_min:UInt32} AS holds
    FROM (
        SELECT environment, service, route, toInt64(toUnixTimestamp(minute)) AS minute_s, n, accept_ms
        FROM acceptfirst.handshake_rollup_1m FINAL
        WHERE minute >= toDateTime(greatest(0, first_look - width), 'UTC') AND minute <= toDateTime(last_look, 'UTC')
            AND ({environment:String} = '' OR environment = {environment:String})
    )
    ARRAY JOIN range(
        greatest(first_look, intDiv(minute_s + step - 1, step) * step),
        least(last_look, minute_s + width) + 1, step) AS look_s
    GROUP BY environment, service, route, look_s
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
