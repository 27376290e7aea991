-- For: Overview, panel 4. The server handed the connection over to accept returned, the slowest of 20. Drawn handshakes only.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any).
-- Columns: accept_p95_s (NULL when nothing was accepted).
SELECT if(isFinite(quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(accept_ms)[2] AS accept_p95_ms), accept_p95_ms / 1e3, NULL) AS accept_p95_s
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
