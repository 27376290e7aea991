-- For: Handshake detail, panel 13. The time to accept over time, of the five routes with most handshakes.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60).
-- Columns: time, route, p50_s, p95_s, p99_s.
SELECT
    time, toString(route) AS route,
    levels[1] / 1e3 AS p50_s, levels[2] / 1e3 AS p95_s, levels[3] / 1e3 AS p99_s
FROM (
    SELECT
        toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time, route,
        quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(accept_ms) AS levels
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
        AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
        AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
        AND route IN (
            SELECT route
            FROM acceptfirst.handshake_rollup_1m FINAL
            WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
                AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
                AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
                AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
            GROUP BY route
            ORDER BY sum(handshakes) DESC, route
            LIMIT 5
        )
    GROUP BY time, route
)
WHERE isFinite(levels[1])
ORDER BY time, route
