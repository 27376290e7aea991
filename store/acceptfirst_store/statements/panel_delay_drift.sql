-- For: Patterns & tuning, panel 20. The delay in force and the recommended one when a recommendation was made, and what the
-- slowest of 100 handshakes needed from accept to ready, on the five routes with most of them.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60).
-- Columns: time, place (environment and route), in_force_ms, recommended_ms, needed_p99_ms (NULL where it is not known).
SELECT time, place, max(in_force) AS in_force_ms, max(recommended) AS recommended_ms, max(needed) AS needed_p99_ms
FROM (
    SELECT
        toStartOfInterval(toDateTime(updated_at, 'UTC'), toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
        concat(environment, ' ', route) AS place,
        argMax(JSONExtract(from_values, 'delay_ms', 'Nullable(Float64)'), updated_at) AS in_force,
        argMax(delay_ms, updated_at) AS recommended,
        NULL AS needed
    FROM acceptfirst.tuning_recommendations FINAL
    WHERE updated_at >= {since:DateTime64(6, 'UTC')} AND updated_at < {until:DateTime64(6, 'UTC')} AND verdict != 'code_fix'
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
        AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
        AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
    GROUP BY time, place
    UNION ALL
    SELECT
        toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
        concat(environment, ' ', route) AS place, NULL AS in_force, NULL AS recommended,
        if(isFinite(quantilesTDigestWeightedMerge(0.5, 0.95, 0.99)(ready_ms)[3] AS p99_ms), p99_ms, NULL) AS needed
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
        AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
        AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
        AND (environment, route) IN (
            SELECT environment, route
            FROM acceptfirst.handshake_rollup_1m FINAL
            WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
                AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
                AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
                AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
            GROUP BY environment, route
            ORDER BY sum(handshakes) DESC, environment, route
            LIMIT 5
        )
    GROUP BY time, place
)
GROUP BY time, place
ORDER BY time, place
LIMIT 5000
