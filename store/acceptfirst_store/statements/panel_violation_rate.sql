-- For: Patterns & tuning, panel 19. Races in 10,000 handshakes over time, and their mean of the seven days before each point.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60).
-- Columns: time, per_10000, weekly_mean (NULL where no handshake was drawn).
WITH
    by_step AS
    (
        SELECT
            toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
            sum(arraySum(mapValues(violations))) AS found, sum(handshakes) AS total
        FROM acceptfirst.handshake_rollup_1m FINAL
        WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) - toIntervalDay(7) AND minute < {until:DateTime64(6, 'UTC')}
            AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
            AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
            AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
        GROUP BY time
    )
SELECT time, per_10000, weekly_mean
FROM (
    SELECT
        time,
        10000 * found / nullIf(total, 0) AS per_10000,
        10000 * sum(found) OVER week / nullIf(sum(total) OVER week, 0) AS weekly_mean
    FROM by_step
    WINDOW week AS (ORDER BY time RANGE BETWEEN 604800 PRECEDING AND CURRENT ROW)
)
WHERE time >= toStartOfInterval(toDateTime({since:DateTime64(6, 'UTC')}, 'UTC'), toIntervalSecond(greatest(60, {step_s:UInt32})))
ORDER BY time
