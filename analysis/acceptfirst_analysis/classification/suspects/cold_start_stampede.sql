-- For: the classifier; connections of the twenty minutes after a start (pattern 24), and what tells a start: the first
-- connection of each version in each ten minutes, and those that a server ended.
-- Parameters: since String, until String (ISO 8601, UTC).
-- Columns: connection_id.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') - INTERVAL 1 DAY AS from_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') + INTERVAL 2 DAY AS to_at,
    -- As a rule the answer is no to both, and nothing else is read.
    (SELECT uniqExact(service_version) FROM acceptfirst.handshakes
        WHERE first_seen >= from_at AND first_seen < to_at AND service_version != '') > 1 AS is_deployed,
    (SELECT count() FROM acceptfirst.handshakes
        WHERE close_code = 1012 AND first_seen >= from_at AND first_seen < to_at) >= 3 AS is_stopped,
    heads AS (
        SELECT environment, service, service_version, intDiv(toUnixTimestamp64Milli(first_seen), 600000) AS slot,
            min(first_seen) AS at
        FROM acceptfirst.handshakes
        WHERE is_deployed AND first_seen >= from_at AND first_seen < to_at AND service_version != ''
        GROUP BY environment, service, service_version, slot
    ),
    minutes AS (
        SELECT DISTINCT environment, service, minute + distance AS minute
        FROM (
            SELECT environment, service, intDiv(toUnixTimestamp64Milli(at), 60000) AS minute FROM (
                SELECT environment, service, slot, at, row_number() OVER own AS place,
                    lagInFrame(slot) OVER own AS slot_before
                FROM heads
                WINDOW own AS (PARTITION BY environment, service, service_version ORDER BY slot
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            )
            WHERE place = 1 OR slot - slot_before > 138
            UNION ALL
            SELECT environment, service, intDiv(toUnixTimestamp64Milli(last_seen), 60000) AS minute
            FROM acceptfirst.handshakes
            WHERE is_stopped AND close_code = 1012 AND first_seen >= from_at AND first_seen < to_at
            GROUP BY environment, service, minute
            HAVING count() >= 1
        )
        -- A stop's first new connection may be late: the pattern asks when one came, this looks for half an hour.
        ARRAY JOIN range(0, 51) AS distance
    )
SELECT connection_id
FROM acceptfirst.handshakes
WHERE first_seen >= from_at AND first_seen < to_at AND (is_deployed OR is_stopped) AND (
    (close_code = 1012 AND is_stopped)
    OR (is_deployed AND first_seen IN (SELECT at FROM heads))
    OR (environment, service, intDiv(toUnixTimestamp64Milli(first_seen), 60000)) IN (SELECT environment, service, minute FROM minutes))
