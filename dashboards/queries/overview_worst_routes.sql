-- Where to look first: environments and routes by violations in 10,000 handshakes.
-- Columns: environment, route, handshakes (sum of weights), violations (one by one), per_10000 (NULL where no handshake
--   was drawn), accept_p95_s (since the server handed the connection over; NULL
--   where nothing was accepted), top_pattern (empty where there is no violation).
WITH weight > 0 AND toUnixTimestamp64Nano(connected_at) != 0 AS is_accepted
SELECT
    environment,
    route,
    sum(weight) AS handshakes,
    sum(length(patterns)) AS violations,
    10000 * violations / nullIf(handshakes, 0) AS per_10000,
    if(countIf(is_accepted) = 0, NULL,
        quantileExactIf(0.95)((toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(first_seen)) / 1e9, is_accepted)) AS accept_p95_s,
    topKArray(1)(patterns)[1] AS top_pattern
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen) AND environment IN (${env:singlequote})
GROUP BY environment, route
ORDER BY per_10000 DESC NULLS FIRST, violations DESC, environment, route
LIMIT 20
