-- For: Overview, panel 1. Handshakes a minute, over time.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60).
-- Columns: time, handshakes_per_minute (sums of weights, so that a sample counts for all).
SELECT
    toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
    sum(handshakes) / (greatest(60, {step_s:UInt32}) / 60) AS handshakes_per_minute
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
GROUP BY time
ORDER BY time
