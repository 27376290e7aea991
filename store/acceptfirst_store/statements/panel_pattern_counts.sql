-- For: Patterns & tuning, panel 16. Which races there are, by environment, in 10,000 handshakes; as the classifier says.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes, patterns
-- (arrays; one that holds an empty text: any).
-- Columns: race (pattern and environment), per_10000 (NULL where no handshake was drawn), connections.
SELECT
    concat(pattern, ', ', environment) AS race,
    10000 * connections / nullIf(total, 0) AS per_10000,
    connections
FROM (
    SELECT toString(environment) AS environment, arrayJoin(CAST(found, 'Array(Tuple(String, UInt64))')) AS one, one.1 AS pattern, one.2 AS connections, total
    FROM (
        SELECT environment, sumMap(patterns) AS found, sum(handshakes) AS total
        FROM acceptfirst.handshake_rollup_1m FINAL
        WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
            AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
            AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
            AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
        GROUP BY environment
    )
)
WHERE has({patterns:Array(String)}, '') OR has({patterns:Array(String)}, pattern)
ORDER BY per_10000 DESC NULLS FIRST, connections DESC, race
LIMIT 30
