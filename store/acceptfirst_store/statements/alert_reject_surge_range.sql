-- For: alerts check over a range, AF-06: what alert_reject_surge answers at each of many looks, in one pass; how, stands in
-- alert_budget_burn_range. A minute is in the window for a while, and an hour like it of seven later days.
-- Parameters: those of alert_reject_surge but at; first_s, last_s, step_s, threshold, n_min as in alert_budget_burn_range.
-- Columns: as of alert_budget_burn_range.
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({window_s:UInt32}) AS width,
    moment -> greatest(first_look, intDiv(moment + step - 1, step) * step) AS look_from,
    amount -> toInt128(greatest(-1e18, least(1e18, amount)) * 4503599627370496) AS units
SELECT
    environment, service, route, '' AS pattern,
    if(countIf(holds) = 0, NULL, maxIf(surge, holds)) AS value,
    argMaxIf(drawn, (surge, -look_s), holds) AS n,
    minIf(look_s, holds) AS first_s, maxIf(through_s, holds) AS last_s,
    countIf(isNotNull(surge) AND drawn >= {n_min:UInt32}) AS judged
FROM (
    SELECT
        environment, service, route, look_s, drawn,
        leadInFrame(look_s, 1, last_look + step)
            OVER (PARTITION BY environment, service, route ORDER BY look_s ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
            - step AS through_s,
        if(drawn_before < {baseline_n_min:UInt32}, NULL, if(rejected_now < {events_min:Float64}, 0,
            (rejected_now / ended_now)
            / greatest({floor_share:Float64}, ifNull(rejected_before / nullIf(ended_before, 0), 0)))) AS surge,
        ifNull(isFinite(surge) AND surge > {threshold:Float64}, 0) AND drawn >= {n_min:UInt32} AS holds
    FROM (
        SELECT
            environment, service, route, look_s,
            toFloat64(sum(moved.1) OVER so_far) / 4503599627370496 AS rejected_now,
            toFloat64(sum(moved.2) OVER so_far) / 4503599627370496 AS ended_now,
            sum(moved.3) OVER so_far AS drawn,
            toFloat64(sum(moved.4) OVER so_far) / 4503599627370496 AS rejected_before,
            toFloat64(sum(moved.5) OVER so_far) / 4503599627370496 AS ended_before,
            sum(moved.6) OVER so_far AS drawn_before
        FROM (
            SELECT
                environment, service, route, move.1 AS look_s,
                (sum(move.2 * refused), sum(move.2 * ended), sum(move.2 * sample),
                 sum(move.3 * refused), sum(move.3 * ended), sum(move.3 * sample)) AS moved
            FROM (
                SELECT
                    environment, service, route, toInt64(toUnixTimestamp(minute)) AS minute_s,
                    units(rejected) AS refused, units(handshakes - open) AS ended, toInt64(n) AS sample
                FROM acceptfirst.handshake_rollup_1m FINAL
                WHERE minute > toDateTime(greatest(0, first_look - 7 * 86400 - width), 'UTC')
                    AND minute <= toDateTime(last_look, 'UTC')
                    AND ({environment:String} = '' OR environment = {environment:String})
            )
            ARRAY JOIN arrayConcat(
                arrayMap(days -> (look_from(minute_s + days * 86400), if(days = 0, 1, 0), if(days = 0, 0, 1)), range(8)),
                arrayMap(days -> (look_from(minute_s + days * 86400 + width), if(days = 0, -1, 0), if(days = 0, 0, -1)), range(8))
            ) AS move
            WHERE look_s <= last_look
            GROUP BY environment, service, route, look_s
        )
        WINDOW so_far AS (PARTITION BY environment, service, route ORDER BY look_s ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
