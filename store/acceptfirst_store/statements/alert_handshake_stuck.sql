-- For: alert AF-05. Handshakes that nothing has ended, begun longer ago than some seconds, but within the window: a process
-- that was killed never says how its handshakes ended.
-- Parameters: at (the instant), environment (empty: any), older_than_s, window_s (seconds).
-- Columns: environment, service, route, pattern (empty), value (sum of weights), n (rows).
-- The ids tell which part of the table to read: that of the window and the ten minutes before it, since an id is drawn before
-- its first span begins (as in handshakes_now); and the first millisecond of the day in which the window begins, since an id
-- that had to be hashed lies at its span's midnight.
WITH
    {at:DateTime64(6, 'UTC')} - toIntervalSecond({window_s:UInt32}) AS since_at,
    toUInt64(greatest(0, toUnixTimestamp64Milli(since_at))) AS since_ms,
    intDiv(since_ms, 86400000) * 86400000 AS day_ms,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at
SELECT environment, service, route, '' AS pattern, sum(weight) AS value, count() AS n
FROM acceptfirst.handshakes FINAL
WHERE (connection_id >= id_at(since_ms - least(since_ms, 600000))
        OR (connection_id >= id_at(day_ms) AND connection_id < id_at(day_ms + 1)))
    AND first_seen > since_at AND first_seen < {at:DateTime64(6, 'UTC')} - toIntervalSecond({older_than_s:UInt32})
    AND outcome = 'open'
    AND ({environment:String} = '' OR environment = {environment:String})
GROUP BY environment, service, route
ORDER BY value DESC, environment, service, route
LIMIT 1000
