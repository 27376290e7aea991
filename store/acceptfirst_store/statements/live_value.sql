-- For: what the handshakes of the last day meant for users, on the live page, beside the day before. A row for each of
-- the two days in which there were any; what a column means is told in business_value, which asks the same of weeks.
-- Parameters: environment (empty: any), since (a day before recent_since), recent_since, floor, day_floor, day_ceiling (as
-- in live_summary, for since).
-- Columns: is_recent (the last day), handshakes (sum of weights), n (drawn), n_ready (of n), first_message_p50_ms and
-- first_message_p95_ms (NaN where no message came), n_messaged, messages_early, connections_affected, users_affected (by
-- hash), n_identified (of the affected), wait_s and wasted_s (user-seconds; weighted).
WITH seen AS
(
    SELECT
        first_seen >= {recent_since:DateTime64(6, 'UTC')} AS is_recent, weight, weight > 0 AS is_drawn, outcome, user_hash,
        first_message_ns / 1e6 AS first_message_ms,
        if(readiness_mode = 'auto', 0, messages_early) AS early,
        notEmpty(patterns) OR early > 0 OR error_type != '' OR match(signature, '^[^G]*T') AS is_affected,
        toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(connected_at) AS held_ns,
        gate = 'hold' AND toUnixTimestamp64Nano(ready_at) != 0 AND toUnixTimestamp64Nano(connected_at) != 0 AND held_ns > 0
            AS is_held,
        if(readiness_mode = 'blind' AND mapContains(phases, 'ready'),
            greatest(0, delay_applied_ms - greatest(0, phases['ready'])), 0) AS wasted_ms
    FROM acceptfirst.handshakes FINAL
    WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
            OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
        AND first_seen >= {since:DateTime64(6, 'UTC')}
        AND ({environment:String} = '' OR environment = {environment:String})
)
SELECT
    is_recent,
    sum(weight) AS handshakes,
    countIf(is_drawn) AS n,
    countIf(is_drawn AND outcome = 'ready') AS n_ready,
    quantileExactIf(0.5)(first_message_ms, is_drawn AND first_message_ms > 0) AS first_message_p50_ms,
    quantileExactIf(0.95)(first_message_ms, is_drawn AND first_message_ms > 0) AS first_message_p95_ms,
    countIf(is_drawn AND first_message_ms > 0) AS n_messaged,
    sum(early) AS messages_early,
    countIf(is_affected) AS connections_affected,
    uniqExactIf(user_hash, is_affected AND user_hash != '') AS users_affected,
    countIf(is_affected AND user_hash != '') AS n_identified,
    sumIf(weight * held_ns, is_held) / 1e9 AS wait_s,
    sumIf(weight * wasted_ms, is_held) / 1e3 AS wasted_s
FROM seen
GROUP BY is_recent
ORDER BY is_recent DESC
