-- For: Overview, panel 3. Races that connections reported themselves, each pattern once a connection, drawn or not.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any).
-- Columns: violations; per_10000_handshakes (handshakes by weight; NULL when there are none).
SELECT
    toUInt64(sum(found)) AS violations,
    10000 * violations / nullIf(sum(handshakes), 0) AS per_10000_handshakes
FROM (
    SELECT arraySum(mapValues(violations)) AS found, handshakes
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
        AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
        AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
)
