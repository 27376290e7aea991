-- For: alerts check over a range: when to look. Every end of a step in which connections began; elsewhere nothing can be new.
-- Parameters: environment (empty: any), since, until (of the minutes in which connections began; until is excluded), step_s.
-- Columns: look_at (end of the step), connections (rows, drawn or not).
SELECT
    toStartOfInterval(minute, toIntervalSecond({step_s:UInt32})) + toIntervalSecond({step_s:UInt32}) AS look_at,
    sum(handshake_rollup_1m.connections) AS connections
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY look_at
ORDER BY look_at
