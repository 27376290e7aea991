-- For: Overview, panel 5. Handshakes that nothing has ended, begun longer ago than some seconds and within the last hour, as in
-- alert AF-05. Now, whatever the range says.
-- Parameters: environments, services, routes (arrays; one that holds an empty text: any), older_than_s (seconds).
-- Columns: stuck (sum of weights).
-- Read are ids of that hour and the ten minutes before it, and those at its day's midnight; why: see alert_handshake_stuck.
WITH
    toUInt64(toUnixTimestamp(now('UTC') - 3600)) * 1000 AS since_ms,
    intDiv(since_ms, 86400000) * 86400000 AS day_ms,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at
SELECT sum(weight) AS stuck
FROM acceptfirst.handshakes FINAL
WHERE (connection_id >= id_at(since_ms - 600000)
        OR (connection_id >= id_at(day_ms) AND connection_id < id_at(day_ms + 1)))
    AND first_seen > now() - 3600 AND first_seen < now() - {older_than_s:UInt32}
    AND outcome = 'open'
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
