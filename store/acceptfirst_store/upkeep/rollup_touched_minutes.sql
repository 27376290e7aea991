-- For: the minutes that something happened to, for the rollup. One row a minute, in order.
-- Parameters: since_s, until_s UInt32 (Unix seconds by the store's clock; both included), frozen_before_s UInt32 (minutes
-- before it are left out).
-- Columns: minute_s (Unix seconds), touched_rows (how many rows of the minute were written since then).
WITH
    toDateTime({since_s:UInt32}, 'UTC') AS since_at,
    toDateTime({until_s:UInt32}, 'UTC') AS until_at
SELECT minute_s, sum(touched) AS touched_rows
FROM (
    SELECT
        toUInt32(least(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 60000) * 60, 4294967280)) AS minute_s,
        count() AS touched
    FROM acceptfirst.handshakes
    WHERE touched_at >= since_at AND touched_at <= until_at
    GROUP BY minute_s
    UNION ALL
    SELECT
        toUInt32(least(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 60000) * 60, 4294967280)) AS minute_s,
        count() AS touched
    FROM acceptfirst.race_condition_patterns
    WHERE touched_at >= since_at AND touched_at <= until_at
    GROUP BY minute_s
    UNION ALL
    SELECT toUnixTimestamp(minute) AS minute_s, count() AS touched
    FROM acceptfirst.handshake_rollup_marks
    WHERE marked_at >= since_at AND marked_at <= until_at
    GROUP BY minute_s
)
WHERE minute_s >= {frozen_before_s:UInt32}
GROUP BY minute_s
ORDER BY minute_s
SETTINGS max_threads = 1
