-- For: the classifier; connections that stopped getting messages when an older one of the same user ended (pattern 19).
-- Found: a connection on which ten or more messages went, and then, while it stayed open, none for 30 s or more, which
-- chance alone (messages spread evenly over its life) would do once in a million; and that silence began when an older
-- connection of the same user (by its hash) ended. Two tabs of one user, one of which is closed, are no race, so the
-- overlap alone is not counted.
-- Not known: the registry itself, and who a message was for. So this is probable, not certain; a newer connection whose
-- client goes on talking is not found, nor are messages that reach somebody else's connection (state bleed), since no
-- message is recorded; nor anything where the application does not call `acceptfirst.identify`.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: connection_id (lower hex; of the newer one), environment, service, route, detected_at, evidence.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    lives AS (
        SELECT
            connection_id, environment, service, route, user_hash, first_seen, last_seen, close_initiator,
            toUnixTimestamp64Milli(connected_at) AS accepted_ms,
            accepted_ms + toInt64(least(greatest(assumeNotNull(dwell_ms), 0), 1e12)) AS ended_ms,
            toInt64(least(greatest(ifNull(idle_ms, 0), 0), 1e12)) AS silent_ms,
            ended_ms - silent_ms AS fell_silent_ms,
            messages_received + messages_sent AS messages
        FROM acceptfirst.handshakes FINAL
        WHERE first_seen >= since_at - INTERVAL 1 DAY AND first_seen < until_at + INTERVAL 1 DAY
            AND ({environment:String} = '' OR environment = {environment:String})
            -- Asked of the rows as they lie, which is quick: only users with a silent connection matter.
            AND user_hash IN (SELECT user_hash FROM acceptfirst.handshakes WHERE user_hash != '' AND idle_ms >= 30000)
            AND isNotNull(dwell_ms) AND toUnixTimestamp64Nano(connected_at) != 0
    ),
    silent AS (
        SELECT *, (fell_silent_ms - accepted_ms) / messages AS interval_ms, fell_silent_ms - 1000 AS from_ms
        FROM lives
        WHERE messages >= 10 AND silent_ms >= 30000
            AND messages * log(greatest(fell_silent_ms - accepted_ms, 0) / (ended_ms - accepted_ms)) <= log(1e-6)
    )
SELECT
    lower(hex(newer.connection_id)) AS connection_id, newer.environment AS environment, newer.service AS service,
    newer.route AS route, newer.last_seen AS detected_at,
    concat('Probably lost its place: ', toString(newer.messages), ' messages, one every ',
        toString(round(newer.interval_ms)), ' ms, and none in the last ', toString(round(newer.silent_ms / 1000)),
        ' s; they stopped when the older connection ', lower(hex(older.connection_id)),
        ' of the same user was ended by the ', older.close_initiator, ' (',
        toString(older.ended_ms - newer.fell_silent_ms), ' ms after the last of them).') AS evidence
FROM silent AS newer
ASOF INNER JOIN lives AS older ON newer.environment = older.environment AND newer.service = older.service
    AND newer.user_hash = older.user_hash AND older.ended_ms >= newer.from_ms
WHERE newer.first_seen >= since_at AND newer.first_seen < until_at
    AND older.connection_id != newer.connection_id
    AND older.accepted_ms < newer.accepted_ms AND older.ended_ms > newer.accepted_ms
    AND older.ended_ms - newer.fell_silent_ms <= greatest(2000, 2 * newer.interval_ms)
