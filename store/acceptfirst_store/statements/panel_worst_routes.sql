-- For: Overview, panel 9. Where to look first: environments and routes by violations in 10,000 handshakes.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any).
-- Columns: environment, service, route, handshakes (sum of weights), violations (one by one), per_10000 (NULL where no handshake
-- was drawn), accept_p95_s (NULL where nothing was accepted), top_pattern (empty where there is no violation).
WITH sumMap(handshake_rollup_1m.violations) AS by_pattern
SELECT
    environment, service, route,
    sum(handshake_rollup_1m.handshakes) AS handshakes,
    toUInt64(arraySum(mapValues(by_pattern))) AS violations,
    10000 * violations / nullIf(handshakes, 0) AS per_10000,
    if(isFinite(quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(accept_ms)[2] AS accept_p95_ms), accept_p95_ms / 1e3, NULL) AS accept_p95_s,
    if(empty(by_pattern), '', arrayReverseSort((name, found) -> (found, name), mapKeys(by_pattern), mapValues(by_pattern))[1]) AS top_pattern
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
GROUP BY environment, service, route
ORDER BY per_10000 DESC NULLS FIRST, violations DESC, environment, service, route
LIMIT 20
