-- For: alerts check over a range, AF-01 and AF-02: what alert_budget_burn answers at each of many looks, in one pass. A minute
-- enters a window at one look and leaves it at another, so a window's sum is a running sum of what entered and left; between
-- two such looks nothing changes. In whole units of 2^-52, so that what left takes away exactly what it had brought.
-- Parameters: those of alert_budget_burn but at; first_s, last_s (the first and the last look, Unix seconds), step_s (between
-- two; both are multiples of it, and it is one of a minute), threshold, n_min (of the rule).
-- Columns: environment, service, route, pattern (empty), value (the highest that held; NULL where none did), n (at the first look
-- that had it), first_s, last_s (looks at which it held first and last, Unix seconds), judged (spells with enough handshakes).
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({long_s:UInt32}) AS long_width, toInt64({short_s:UInt32}) AS short_width,
    moment -> greatest(first_look, intDiv(moment + step - 1, step) * step) AS look_from,
    amount -> toInt128(greatest(-1e18, least(1e18, amount)) * 4503599627370496) AS units
SELECT
    environment, service, route, '' AS pattern,
    if(countIf(holds) = 0, NULL, maxIf(burn, holds)) AS value,
    argMaxIf(drawn, (burn, -look_s), holds) AS n,
    minIf(look_s, holds) AS first_s, maxIf(through_s, holds) AS last_s,
    countIf(drawn >= {n_min:UInt32}) AS judged
FROM (
    SELECT
        environment, service, route, look_s, drawn,
        leadInFrame(look_s, 1, last_look + step)
            OVER (PARTITION BY environment, service, route ORDER BY look_s ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
            - step AS through_s,
        if(bad_long < {events_min:Float64}, 0, least(
            ifNull(bad_long / nullIf(ended_long, 0), 0),
            ifNull(bad_short / nullIf(ended_short, 0), 0))) / {slo:Float64} AS burn,
        isFinite(burn) AND burn > {threshold:Float64} AND drawn >= {n_min:UInt32} AS holds
    FROM (
        SELECT
            environment, service, route, look_s,
            toFloat64(sum(moved.1) OVER so_far) / 4503599627370496 AS bad_long,
            toFloat64(sum(moved.2) OVER so_far) / 4503599627370496 AS ended_long,
            toFloat64(sum(moved.3) OVER so_far) / 4503599627370496 AS bad_short,
            toFloat64(sum(moved.4) OVER so_far) / 4503599627370496 AS ended_short,
            sum(moved.5) OVER so_far AS drawn
        FROM (
            SELECT
                environment, service, route, move.1 AS look_s,
                (sum(move.2 * bad), sum(move.2 * ended), sum(move.3 * bad), sum(move.3 * ended), sum(move.2 * drawn)) AS moved
            FROM (
                SELECT
                    environment, service, route, toInt64(toUnixTimestamp(minute)) AS minute_s,
                    units(failed + timed_out + ready_early) AS bad, units(handshakes - open) AS ended, toInt64(n) AS drawn
                FROM acceptfirst.handshake_rollup_1m FINAL
                WHERE minute >= toDateTime(greatest(0, first_look - long_width), 'UTC') AND minute <= toDateTime(last_look, 'UTC')
                    AND ({environment:String} = '' OR environment = {environment:String})
            )
            ARRAY JOIN [
                (look_from(minute_s), 1, 1),
                (look_from(minute_s + short_width + 1), 0, -1),
                (look_from(minute_s + long_width + 1), -1, 0)] AS move
            WHERE look_s <= last_look
            GROUP BY environment, service, route, look_s
        )
        WINDOW so_far AS (PARTITION BY environment, service, route ORDER BY look_s ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
    )
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
