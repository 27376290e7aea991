-- For: alerts check over a range, AF-05: what alert_handshake_stuck answers at each of many looks, in one pass: a handshake that
-- nothing has ended (as far as is known today) goes to each look at which it was old enough, and not too old.
-- Parameters: those of alert_handshake_stuck but at; first_s, last_s, step_s, threshold, n_min as in alert_budget_burn_range.
-- Columns: as of alert_budget_burn_range; judged counts looks.
WITH
    toInt64({first_s:UInt32}) AS first_look, toInt64({last_s:UInt32}) AS last_look, toInt64({step_s:UInt32}) AS step,
    toInt64({window_s:UInt32}) AS width, toInt64({older_than_s:UInt32}) AS older_than,
    moment -> unhex(concat(leftPad(hex(toUInt64(intDiv(greatest(0, moment), 86400) * 86400000)), 12, '0'), repeat('0', 20))) AS day_id
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
            connection_id, environment, service, route, weight,
            intDiv(toUnixTimestamp64Nano(first_seen), 1000000000) AS begun_s,
            intDiv(toUnixTimestamp64Nano(first_seen) + 999999999, 1000000000) AS begun_by_s
        FROM acceptfirst.handshakes FINAL
        WHERE connection_id >= toFixedString(day_id(first_look - width), 16)
            AND first_seen > toDateTime64(greatest(0, first_look - width), 9, 'UTC')
            AND first_seen < toDateTime64(last_look, 9, 'UTC')
            AND outcome = 'open'
            AND ({environment:String} = '' OR environment = {environment:String})
    )
    ARRAY JOIN range(
        greatest(first_look, intDiv(begun_s + older_than + step, step) * step),
        least(last_look + 1, begun_by_s + width), step) AS look_s
    WHERE connection_id >= toFixedString(day_id(look_s - width), 16)
    GROUP BY environment, service, route, look_s
)
GROUP BY environment, service, route
ORDER BY value DESC NULLS LAST, environment, service, route
LIMIT 1000
