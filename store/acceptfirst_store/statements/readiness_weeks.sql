-- How long accepted handshakes took to become ready, week by week and version by version, for drift and its headroom.
-- Parameters: environment String ('' for all), since, until String (ISO 8601, UTC; by the first span).
-- Columns: environment, service, route, week (Date, the Monday, UTC), service_version, first_seen, last_seen,
--   n (drawn handshakes that were accepted and in which readiness was told or could have been), n_never (of n, never ready),
--   bins and counts (of the others: how many took from 10^(bin/100) to 10^((bin+1)/100) microseconds).
-- As in readiness_times: only drawn handshakes, refusals left out; in the modes blind and auto only a shadow tells.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    accepted AS
    (
        SELECT
            environment, service, route, service_version, toMonday(first_seen) AS monday,
            first_seen AS began_at, last_seen AS seen_at,
            match(signature, '^[^G]*T') AS timed_out,
            multiIf(
                timed_out, NULL,
                mapContains(phases, 'ready'), if(phases['ready'] < 0, NULL, phases['ready'] * 1000),
                readiness_mode IN ('event', 'polled') AND toUnixTimestamp64Nano(ready_at) != 0,
                    if(ready_at < connected_at, NULL,
                        (toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(connected_at)) / 1000),
                NULL) AS ready_us,
            isNull(ready_us) AND outcome = 'rejected' AS refused,
            readiness_mode IN ('event', 'polled') AS is_told
        FROM acceptfirst.handshakes FINAL
        WHERE weight > 0 AND toUnixTimestamp64Nano(connected_at) != 0
            AND first_seen >= since_at AND first_seen < until_at
            AND ({environment:String} = '' OR environment = {environment:String})
    ),
    counted AS
    (
        SELECT
            environment, service, route, monday, service_version, isNotNull(ready_us) AS is_ready,
            toInt32(floor(100 * log10(greatest(1, ifNull(ready_us, 1))))) AS bin,
            count() AS times, countIf(is_told) AS told_times, min(began_at) AS began, max(seen_at) AS seen
        FROM accepted
        WHERE NOT refused
        GROUP BY environment, service, route, monday, service_version, is_ready, bin
    )
SELECT
    environment, service, route, monday AS week, service_version,
    toString(min(began)) AS first_seen,
    toString(max(seen)) AS last_seen,
    sumIf(times, is_ready) + n_never AS n,
    -- Where nothing ever told, silence is not lateness.
    if(sumIf(times, is_ready) > 0, sumIf(times, NOT is_ready), sumIf(told_times, NOT is_ready)) AS n_never,
    groupArrayIf(bin, is_ready) AS bins,
    groupArrayIf(times, is_ready) AS counts
FROM counted
GROUP BY environment, service, route, week, service_version
HAVING n > 0
ORDER BY environment, service, route, week, first_seen
