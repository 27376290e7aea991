-- For: Overview, panel 7. How handshakes ended, over time. One that became ready after a message had been handled is violated.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60).
-- Columns: time, then one a kind (sums of weights).
SELECT
    toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
    sum(handshake_rollup_1m.ready - ready_early) AS ready,
    sum(ready_early) AS violated,
    sum(handshake_rollup_1m.rejected) AS rejected,
    sum(handshake_rollup_1m.abandoned) AS abandoned,
    sum(handshake_rollup_1m.failed) AS failed,
    sum(handshake_rollup_1m.timed_out) AS timed_out,
    sum(handshake_rollup_1m.open) AS open
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
GROUP BY time
ORDER BY time
