-- For: alert AF-07. How long ago the latest span ended, of connections that began today or the day before (by the id, so that
-- little is read); no row if there is none. What claims to lie in the future is not believed: it would look fresh for ever.
-- Not FINAL: a maximum doesn't care for rows that are not merged yet.
-- Parameters: at (the instant), environment (empty: any).
-- Columns: environment, service, route, pattern (all empty), value (seconds), n (rows).
WITH
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at,
    id_at(toUnixTimestamp(toStartOfDay({at:DateTime64(6, 'UTC')}) - toIntervalDay(1)) * 1000) AS first_id
SELECT
    '' AS environment, '' AS service, '' AS route, '' AS pattern,
    greatest(0, toUnixTimestamp64Micro({at:DateTime64(6, 'UTC')}) - toUnixTimestamp64Micro(toDateTime64(max(seen), 6, 'UTC'))) / 1e6 AS value,
    count() AS n
FROM (
    SELECT last_seen AS seen
    FROM acceptfirst.handshakes
    WHERE connection_id >= first_id
        AND last_seen <= {at:DateTime64(6, 'UTC')} + toIntervalMinute(1)
        AND ({environment:String} = '' OR environment = {environment:String})
)
HAVING n > 0
