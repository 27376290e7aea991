-- For: the classifier; all connections of the minutes in which a herd or a fixed timer may have come back (pattern 21).
-- Parameters: since String, until String (ISO 8601, UTC).
-- Columns: connection_id.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') - INTERVAL 1 DAY AS from_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') + INTERVAL 2 DAY AS to_at,
    -- Five breaks of one user in five minutes: in one of two neighbouring five minutes there are three of them.
    restless AS (
        SELECT user_hash, intDiv(intDiv(toUnixTimestamp64Milli(last_seen), 1000), 300) * 5 AS minute
        FROM acceptfirst.handshakes
        WHERE first_seen >= from_at AND first_seen < to_at
            AND close_code IN (1005, 1006, 1011, 1012) AND user_hash != ''
        GROUP BY user_hash, minute
        HAVING count() >= 3
    ),
    -- Around seconds in which ten or more broke off: in one of the two seconds of a burst there are as many.
    (SELECT groupBitmapState(toUInt32(minute + distance - 8))
        FROM (
            SELECT DISTINCT intDiv(second, 60) AS minute
            FROM (
                SELECT service, intDiv(toUnixTimestamp64Milli(last_seen), 1000) AS second
                FROM acceptfirst.handshakes
                WHERE first_seen >= from_at AND first_seen < to_at AND close_code IN (1005, 1006, 1011, 1012)
                GROUP BY service, second
                HAVING count() >= 10
            )
        )
        ARRAY JOIN range(0, 12) AS distance) AS bursts,
    -- Seconds in which far more came than usual.
    crowds AS (
        SELECT intDiv(second, 60) AS minute
        FROM (
            SELECT service, second, begun, sum(begun) OVER (PARTITION BY service ORDER BY second
                RANGE BETWEEN 360 PRECEDING AND 61 PRECEDING) AS begun_before
            FROM (
                SELECT service, intDiv(toUnixTimestamp64Milli(first_seen), 1000) AS second, count() AS begun
                FROM acceptfirst.handshakes
                WHERE first_seen >= from_at AND first_seen < to_at AND toUnixTimestamp64Nano(pending_at) != 0
                    AND bitmapContains(bursts, toUInt32(intDiv(toUnixTimestamp64Milli(first_seen), 60000)))
                GROUP BY service, second
            )
        )
        -- A third of what is asked for below: rows are counted here, not connections.
        WHERE begun >= 20 AND begun * 60 * 3 >= begun_before
    ),
    -- The pattern looks six minutes back; a timer's six connections lie within ten.
    (SELECT groupBitmapState(toUInt32(minute + distance - 12))
        FROM (SELECT minute FROM restless UNION ALL SELECT minute FROM crowds)
        ARRAY JOIN range(0, 20) AS distance) AS minutes
SELECT connection_id
FROM acceptfirst.handshakes
WHERE first_seen >= from_at AND first_seen < to_at AND (
    bitmapContains(minutes, toUInt32(intDiv(intDiv(toUnixTimestamp64Milli(first_seen), 1000), 60)))
    OR (close_code IN (1005, 1006, 1011, 1012)
        AND bitmapContains(minutes, toUInt32(intDiv(intDiv(toUnixTimestamp64Milli(last_seen), 1000), 60)))))
