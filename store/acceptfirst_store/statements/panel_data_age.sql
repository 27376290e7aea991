-- For: Overview, panel 6. How long ago the latest span ended, as in alert AF-07: of connections that began today or the day
-- before, and nothing that claims to lie in the future. Not FINAL: a maximum doesn't care for rows that are not merged yet.
-- Parameters: environments, services, routes (arrays; one that holds an empty text: any).
-- Columns: age_s (NULL when there is nothing).
WITH
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at,
    id_at(toUnixTimestamp(toStartOfDay(now('UTC')) - toIntervalDay(1)) * 1000) AS first_id
SELECT if(count() = 0, NULL, greatest(0, dateDiff('second', max(last_seen), now64(9)))) AS age_s
FROM acceptfirst.handshakes
WHERE connection_id >= first_id AND last_seen <= now64(9) + toIntervalMinute(1)
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
