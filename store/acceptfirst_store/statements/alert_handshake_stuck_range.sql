-- For: alerts check over a range, AF-05: what alert_handshake_stuck answers at each of many looks, in one pass: a handshake that
-- nothing has ended (as far as is known today) goes to each look at which it was old enough, and not too old.
-- Parameters: those of alert_handshake_stuck but at; first_s, last_s, step_s, threshold, n_min as in alert_budget_burn_range.
-- Columns: as of alert_budget_burn_range; judged counts looks.
-- Each look sees the ids that it would see alone; see alert_handshake_stuck.
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({window_s:UInt32}) AS width, toInt64({older_than_s:UInt32}) AS older_than,
    greatest(0, first_look - width) * 1000 AS since_ms,
    (ms -> intDiv(ms, 86400000) * 86400000) AS day_of,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at
SELECT
    environment, service, route, '' AS pattern,
    if(countIf(holds) = 0, NULL, maxIf(stuck, holds)) AS value,
    argMaxIf(drawn, (stuck, -look_s), holds) AS n,
    minIf(look_s, holds) AS first_s, maxIf(look_s, holds) AS last_s,
    countIf(drawn >= {n_min:UInt32}) AS judged
FROM (
    SELECT
        environment, service, route, look_s, sum(weight) AS stuck, count() AS drawn,
        isFinite(stuck) AND stuck > {threshold:Float64} AND drawn >= {n_min:UInt32} AS holds
    FROM (
        SELECT
            toInt64(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6)))) AS id_ms, environment, service, route, weight,
            intDiv(toUnixTimestamp64Nano(first_seen), 1000000000) AS begun_s,
            intDiv(toUnixTimestamp64Nano(first_seen) + 999999999, 1000000000) AS begun_by_s
        FROM acceptfirst.handshakes FINAL
        WHERE (connection_id >= id_at(greatest(0, since_ms - 600000))
                OR (connection_id >= id_at(day_of(since_ms)) AND connection_id < id_at(day_of(since_ms) + 1)))
            AND first_seen > toDateTime64(greatest(0, first_look - width), 9, 'UTC')
            AND first_seen < toDateTime64(last_look, 9, 'UTC')
            AND outcome = 'open'
            AND ({environment:String} = '' OR environment = {environment:String})
    )
    ARRAY JOIN range(
        greatest(first_look, intDiv(begun_s + older_than + step, step) * step),
        least(last_look + 1, begun_by_s + width), step) AS look_s
    WHERE id_ms >= (look_s - width) * 1000 - 600000 OR id_ms = day_of(greatest(0, look_s - width) * 1000)
    GROUP BY environment, service, route, look_s
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
