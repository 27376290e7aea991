-- The counts of a range, for the report and as the denominators of rates. One row a stratum.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: environment, service, route, handshakes (sum of weights), n (drawn rows), n_all (rows, violations that were
--   not drawn included), n_ready, n_rejected, n_failed, n_abandoned, n_timed_out, n_open, n_early (a message was handled
--   too early), accept_p95_ms (connection handed over to accept returned), handshake_p50_ms and handshake_p95_ms (connect to ready; NaN where there is none),
--   policy_versions, readiness_modes, first_seen, last_seen, n_unended (no last span came).
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    drawn AS
    (
        SELECT *, outcome, weight > 0 AS is_drawn, connected_ns, ready_ns, toUnixTimestamp64Nano(connected_at) != 0 AS is_accepted,
            if(mapContains(phases, 'ready'), connected_ns / 1e6 + phases['ready'], ready_ns / 1e6) AS handshake_ms,
            if(mapContains(phases, 'ready'), is_accepted, outcome = 'ready' AND readiness_mode != 'blind') AS is_known_ready
        FROM acceptfirst.handshakes FINAL
        WHERE first_seen >= since_at AND first_seen < until_at
            AND ({environment:String} = '' OR environment = {environment:String})
    )
SELECT
    environment, service, route,
    sum(weight) AS handshakes,
    countIf(is_drawn) AS n,
    count() AS n_all,
    countIf(is_drawn AND outcome = 'ready') AS n_ready,
    countIf(is_drawn AND outcome = 'rejected') AS n_rejected,
    countIf(is_drawn AND outcome = 'failed') AS n_failed,
    countIf(is_drawn AND outcome = 'abandoned') AS n_abandoned,
    countIf(is_drawn AND outcome = 'timed_out') AS n_timed_out,
    countIf(is_drawn AND outcome = 'open') AS n_open,
    countIf(is_drawn AND messages_early > 0) AS n_early,
    quantileExactIf(0.95)((toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(drawn.first_seen)) / 1e6,
        is_drawn AND is_accepted) AS accept_p95_ms,
    quantileExactIf(0.5)(handshake_ms, is_drawn AND is_known_ready) AS handshake_p50_ms,
    quantileExactIf(0.95)(handshake_ms, is_drawn AND is_known_ready) AS handshake_p95_ms,
    arraySort(groupUniqArray(policy_version)) AS policy_versions,
    arraySort(groupUniqArray(readiness_mode)) AS readiness_modes,
    toString(min(first_seen)) AS first_seen,
    toString(max(last_seen)) AS last_seen,
    countIf(ended_by = '') AS n_unended
FROM drawn
GROUP BY environment, service, route
ORDER BY environment, service, route
