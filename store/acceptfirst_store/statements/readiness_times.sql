-- How long accepted handshakes took to become ready, for the recommendation. One row a stratum and setting.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: environment, service, route, readiness_mode, gate, policy_version, last_seen, delay_applied_ms (the latest),
--   handshakes (sum of weights), n (drawn rows), n_refused (the application closed it before it was ready: no race),
--   n_violations (the application met its client too early), n_timed_out, n_messaged (a client message came at all),
--   n_measured (its spans carry our library's own measurements, so that an early message would have been seen),
--   n_skewed (ready before accept by its clock; never ready here), accept_ms_max (connection handed over to accept returned, the longest),
--   ready_us and ready_count (accept returned to ready, whole microseconds rounded up, and how many took that long),
--   waited_us and waited_count (the same of those that never became ready, until they ended; rounded down).
-- Only drawn handshakes: a weight of 0 is there because it had a violation, and would bias every quantile.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    accepted AS
    (
        SELECT
            environment, service, route, readiness_mode, gate, policy_version, weight, last_seen, delay_applied_ms,
            match(signature, '^[^G]*T') AS timed_out,
            toUnixTimestamp64Nano(connected_at) AS accepted_ns,
            (toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(first_seen)) / 1e6 AS accept_ms,
            multiIf(
                timed_out, NULL,
                mapContains(phases, 'ready'), ceil(round(phases['ready'] * 1000, 2)),
                -- In auto mode the first receive is readiness by name only: no message can come before it, so it tells
                -- nothing of a race. Where nothing tells how messages went, it is all there is.
                (readiness_mode IN ('event', 'polled') OR readiness_mode = 'auto' AND is_over AND NOT measured)
                    AND toUnixTimestamp64Nano(ready_at) != 0,
                    ceil((toUnixTimestamp64Nano(ready_at) - accepted_ns) / 1000),
                NULL) AS given_us,
            -- Ready before accept: a clock that was set back. It says nothing of how long it took.
            ifNull(given_us < 0, 0) AS skewed,
            if(skewed, NULL, given_us) AS ready_us,
            greatest(0, coalesce(dwell_ms * 1000,
                (if(outcome = 'open', least(toUnixTimestamp64Nano(until_at), toUnixTimestamp64Nano(now64(9))),
                    toUnixTimestamp64Nano(last_seen)) - accepted_ns) / 1000)) AS ended_us,
            messages_received > 0 AS messaged,
            isNotNull(dwell_ms) OR first_message_ns != 0 OR mapContains(phases, 'ready') AS measured,
            notEmpty(signature) AS is_over,
            isNull(ready_us) AND outcome = 'rejected' AS refused,
            multiIf(
                readiness_mode = 'blind', coalesce(ready_us, ended_us) > delay_applied_ms * 1000 OR messages_early > 0,
                -- A message that had been waiting for the first receive was not early; one that was handled before the
                -- application's own ready() was, unless a phase may have asked for it.
                readiness_mode = 'auto', mapKeys(phases) = ['ready'] AND first_message_ns != 0
                    AND first_message_ns < connected_ns + phases['ready'] * 1e6,
                messages_early > 0 OR timed_out) AS violated
        FROM acceptfirst.handshakes FINAL
        WHERE weight > 0 AND accepted_ns != 0
            AND first_seen >= since_at AND first_seen < until_at
            AND ({environment:String} = '' OR environment = {environment:String})
    ),
    counted AS
    (
        SELECT
            environment, service, route, readiness_mode, gate, policy_version,
            isNotNull(ready_us) AS is_ready, refused,
            toUInt64(coalesce(ready_us, floor(ended_us))) AS time_us,
            count() AS times, sum(weight) AS weights, max(last_seen) AS seen,
            argMax(delay_applied_ms, last_seen) AS delay_ms,
            max(accept_ms) AS accept_longest_ms,
            countIf(violated) AS violations, countIf(timed_out) AS timeouts,
            countIf(messaged) AS messaged_times, countIf(measured) AS measured_times, countIf(skewed) AS skewed_times
        FROM accepted
        GROUP BY environment, service, route, readiness_mode, gate, policy_version, is_ready, refused, time_us
    )
SELECT
    environment, service, route, readiness_mode, gate, policy_version,
    toString(max(seen)) AS last_seen,
    argMax(delay_ms, seen) AS delay_applied_ms,
    sum(weights) AS handshakes,
    sumIf(times, NOT refused) AS n,
    sumIf(times, refused) AS n_refused,
    sumIf(violations, NOT refused) AS n_violations,
    sumIf(timeouts, NOT refused) AS n_timed_out,
    sumIf(messaged_times, NOT refused) AS n_messaged,
    sumIf(measured_times, NOT refused) AS n_measured,
    max(accept_longest_ms) AS accept_ms_max,
    sumIf(skewed_times, NOT refused) AS n_skewed,
    groupArrayIf(time_us, is_ready) AS ready_us,
    groupArrayIf(times, is_ready) AS ready_count,
    groupArrayIf(time_us, NOT is_ready AND NOT refused) AS waited_us,
    groupArrayIf(times, NOT is_ready AND NOT refused) AS waited_count
FROM counted
GROUP BY environment, service, route, readiness_mode, gate, policy_version
ORDER BY environment, service, route, last_seen
