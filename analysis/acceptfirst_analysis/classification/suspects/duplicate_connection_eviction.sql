-- For: the classifier; connections of users of whom one fell silent in a way that chance does not explain (pattern 19).
-- What ended a connection says all of this in one row.
-- Parameters: since String, until String (ISO 8601, UTC).
-- Columns: connection_id.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') - INTERVAL 1 DAY AS from_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') + INTERVAL 2 DAY AS to_at,
    silent AS (
        SELECT DISTINCT user_hash
        FROM acceptfirst.handshakes
        WHERE first_seen >= from_at AND first_seen < to_at
            AND idle_ms >= 30000 AND user_hash != '' AND messages_received + messages_sent >= 10
            -- A little more than is found: the times between are rounded there.
            AND (messages_received + messages_sent)
                * log(greatest(assumeNotNull(dwell_ms) - assumeNotNull(idle_ms), 0) / assumeNotNull(dwell_ms)) <= log(1e-5)
    )
SELECT connection_id
FROM acceptfirst.handshakes
WHERE first_seen >= from_at AND first_seen < to_at AND isNotNull(dwell_ms)
    AND (SELECT count() FROM silent) > 0 AND user_hash IN (SELECT user_hash FROM silent)
