-- What became of handshakes under each setting, for canaries and for whether a change worked. One row a setting.
-- Parameters: environment String ('' for all), since, until String (ISO 8601, UTC; by the first span).
-- Columns: environment, service, route, policy_version, policy_arm, readiness_mode, gate, delay_applied_ms (the latest),
--   first_seen, last_seen, handshakes (sum of weights), n (drawn and accepted, with a known end of the handshake),
--   n_races (of n: a message was handled before the application was ready, or the handshake ran into its timeout),
--   n_late (of n: not ready in time; in blind mode with a shadow readiness when the delay was over, whether a message
--   came or not, else as n_races), n_failed (of n: as failures below), n_told (of n: where anything tells readiness: in
--   blind and auto mode only a shadow does, and where some show one, one that does not had none),
--   n_ready and ready_ms_sum (of n: accept to ready, as the backend took it),
--   and events that are counted whether they were drawn or not, since every violation is exported:
--   races, failures (an exception, or another race), and n_ended and n_unanswered (drawn, ended; of these the
--   application never sent anything).
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    seen AS
    (
        SELECT
            environment, service, route, policy_version, policy_arm, readiness_mode, gate, delay_applied_ms, weight,
            messages_sent, first_seen AS began_at, last_seen AS seen_at,
            toUnixTimestamp64Nano(connected_at) AS accepted_ns,
            weight > 0 AS is_drawn,
            is_drawn AND accepted_ns != 0 AND outcome != 'open' AS is_counted,
            is_drawn AND accepted_ns != 0 AND ended_by != '' AS has_ended,
            match(signature, '^[^G]*T') OR has(patterns, 'handshake_stalled') AS timed_out,
            (readiness_mode != 'auto' AND messages_early > 0) OR has(patterns, 'early_message_before_ready') OR timed_out
                AS raced,
            error_type != '' OR ended_by = 'exception'
                OR arrayExists(name -> name NOT IN ('early_message_before_ready', 'handshake_stalled'), patterns) AS failed,
            mapContains(phases, 'ready') AS is_shadowed,
            (toUnixTimestamp64Nano(last_seen) - accepted_ns) / 1e6 AS lasted_ms,
            if(is_shadowed, phases['ready'], coalesce(dwell_ms, lasted_ms)) > delay_applied_ms AS outlasted,
            if(toUnixTimestamp64Nano(ready_at) = 0, NULL,
                greatest(0, toUnixTimestamp64Nano(ready_at) - accepted_ns) / 1e6) AS ready_ms
        FROM acceptfirst.handshakes FINAL
        WHERE first_seen >= since_at AND first_seen < until_at
            AND ({environment:String} = '' OR environment = {environment:String})
    )
SELECT
    environment, service, route, policy_version, policy_arm, readiness_mode, gate,
    argMax(delay_applied_ms, seen_at) AS delay_applied_ms,
    toString(min(began_at)) AS first_seen,
    toString(max(seen_at)) AS last_seen,
    sum(weight) AS handshakes,
    countIf(is_counted) AS n,
    countIf(is_counted AND raced) AS n_races,
    if(readiness_mode = 'blind' AND countIf(is_counted AND is_shadowed) > 0, countIf(is_counted AND outlasted), n_races)
        AS n_late,
    countIf(is_counted AND failed) AS n_failed,
    if(readiness_mode IN ('event', 'polled') OR countIf(is_counted AND is_shadowed) > 0, n, 0) AS n_told,
    countIf(is_counted AND isNotNull(ready_ms)) AS n_ready,
    sumIf(ifNull(ready_ms, 0), is_counted) AS ready_ms_sum,
    countIf(raced) AS races,
    countIf(failed) AS failures,
    countIf(has_ended) AS n_ended,
    countIf(has_ended AND messages_sent = 0) AS n_unanswered
FROM seen
GROUP BY environment, service, route, policy_version, policy_arm, readiness_mode, gate
ORDER BY environment, service, route, last_seen
