-- What handshakes meant for users, for the report and the page. One row an environment and ISO week.
-- Parameters: environment String ('' for all), since, until String (ISO 8601, UTC; by the first span).
-- Columns: environment, week (Date, the Monday, UTC), handshakes (sum of weights), n (drawn), n_ready (of n: reached READY),
--   first_message_p50_ms and first_message_p95_ms (connect to the first message that the application was given, drawn;
--   NaN where there is none), n_messaged (of n: that had one), messages_early (handled before the application was ready;
--   drawn or not, since each is exported), connections_affected (by any race, exception or timeout; drawn or not),
--   users_affected (of these, by hash), n_identified (of the affected: with a hash),
--   wait_s (user-seconds from accept to ready behind a gate that holds), wasted_s (of these, in blind mode: waited on
--   after the application was ready, by its shadow readiness); both weighted.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    seen AS
    (
        SELECT
            environment, toMonday(first_seen) AS monday, weight, weight > 0 AS is_drawn, outcome, user_hash,
            first_message_ns / 1e6 AS first_message_ms,
            if(readiness_mode = 'auto', 0, messages_early) AS early,
            notEmpty(patterns) OR early > 0 OR error_type != '' OR match(signature, '^[^G]*T') AS is_affected,
            toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(connected_at) AS held_ns,
            gate = 'hold' AND toUnixTimestamp64Nano(ready_at) != 0 AND toUnixTimestamp64Nano(connected_at) != 0
                AND held_ns > 0 AS is_held,
            if(readiness_mode = 'blind' AND mapContains(phases, 'ready'),
                greatest(0, delay_applied_ms - greatest(0, phases['ready'])), 0) AS wasted_ms
        FROM acceptfirst.handshakes FINAL
        WHERE first_seen >= since_at AND first_seen < until_at
            AND ({environment:String} = '' OR environment = {environment:String})
    )
SELECT
    environment, monday AS week,
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
GROUP BY environment, week
ORDER BY environment, week
