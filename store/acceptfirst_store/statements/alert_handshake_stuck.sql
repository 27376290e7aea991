-- For: alert AF-05. Handshakes that nothing has ended, begun longer ago than some seconds, but within the window: a process
-- that was killed never says how its handshakes ended. The ids tell which part of the table to read; one that had to be
-- hashed lies at its day's midnight.
-- Parameters: at (the instant), environment (empty: any), older_than_s, window_s (seconds).
-- Columns: environment, service, route, pattern (empty), value (sum of weights), n (rows).
WITH
    {at:DateTime64(6, 'UTC')} - toIntervalSecond({window_s:UInt32}) AS since_at,
    unhex(leftPad(hex(toUInt64(toUnixTimestamp(toStartOfDay(since_at))) * 1000), 12, '0')) AS first_id
SELECT environment, service, route, '' AS pattern, sum(weight) AS value, count() AS n
FROM acceptfirst.handshakes FINAL
WHERE connection_id >= toFixedString(concat(first_id, repeat('\0', 10)), 16)
    AND first_seen > since_at AND first_seen < {at:DateTime64(6, 'UTC')} - toIntervalSecond({older_than_s:UInt32})
    AND outcome = 'open'
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY environment, service, route
ORDER BY value DESC, environment, service, route
LIMIT 1000
