-- For: the classifier; connections that came back all at once, or by a fixed timer (pattern 21).
-- Found, by user: the sixth and later of connections of one user (by its hash) whose predecessors all broke off, at
-- intervals that differ by a fifth at most (a fixed timer) or are under half a second (no timer at all), up to a minute.
-- Found, by service: seconds in which 20 or more came, half as many as had broken off within two seconds of the minute
-- before (20 or more), and five times as many as usual. Usual is the mean of the five minutes before that minute.
-- With a sample under 1 fewer connections are stored, so less is found, never more. Attempts that never reached the
-- application (refused by a proxy or a full backlog) are not known.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: connection_id (lower hex), environment, service, route, detected_at, evidence.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    come AS (
        SELECT
            connection_id, environment, service, route, user_hash, first_seen, last_seen,
            toUnixTimestamp64Milli(first_seen) AS begun_ms,
            close_code IN (1005, 1006, 1011, 1012) AS is_broken,
            if(isNull(dwell_ms), toUnixTimestamp64Milli(last_seen),
                toUnixTimestamp64Milli(connected_at) + toInt64(least(greatest(dwell_ms, 0), 1e12))) AS ended_ms
        FROM acceptfirst.handshakes FINAL
        WHERE first_seen >= since_at - INTERVAL 1 DAY AND first_seen < until_at + INTERVAL 1 DAY
            AND ({environment:String} = '' OR environment = {environment:String})
    ),
    by_timer AS (
        SELECT *,
            -- The first of a user has no interval: its row number tells it.
            count() OVER five AS intervals, sum(after_break) OVER five AS breaks,
            avg(gap_ms) OVER five AS mean_ms, min(gap_ms) OVER five AS shortest_ms, max(gap_ms) OVER five AS longest_ms
        FROM (
            SELECT connection_id, environment, service, route, user_hash, first_seen, last_seen,
                begun_ms - lagInFrame(begun_ms) OVER every AS gap_ms,
                lagInFrame(is_broken) OVER every AS after_break,
                row_number() OVER every AS position, begun_ms
            FROM come
            -- Asked of the rows as they lie, which is quick: few users have broken off so often.
            WHERE user_hash IN (SELECT user_hash FROM acceptfirst.handshakes
                WHERE user_hash != '' AND close_code IN (1005, 1006, 1011, 1012) GROUP BY user_hash HAVING count() >= 5)
            WINDOW every AS (PARTITION BY environment, service, user_hash ORDER BY begun_ms, connection_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
        WHERE position > 1
        WINDOW five AS (PARTITION BY environment, service, user_hash ORDER BY begun_ms, connection_id
            ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)
    ),
    seconds AS (
        SELECT environment, service, second, begun,
            sum(broken) OVER (PARTITION BY environment, service ORDER BY second
                RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS broken
        FROM (
            SELECT environment, service, event.1 AS second, sum(event.2) AS begun, sum(event.3) AS broken
            FROM (SELECT environment, service, arrayJoin([(intDiv(begun_ms, 1000), 1, 0),
                    (intDiv(ended_ms, 1000), 0, toUInt8(is_broken))]) AS event FROM come
                -- Likewise: where never ten broke off in a second, there was no burst.
                WHERE (SELECT max(broken) FROM (SELECT count() AS broken FROM acceptfirst.handshakes
                    WHERE close_code IN (1005, 1006, 1011, 1012) GROUP BY service, intDiv(toUnixTimestamp64Milli(last_seen), 1000))) >= 10)
            GROUP BY environment, service, second
        )
    ),
    herds AS (
        SELECT * FROM (
            SELECT environment, service, second, begun,
                max(broken) OVER (PARTITION BY environment, service ORDER BY second
                    RANGE BETWEEN 60 PRECEDING AND CURRENT ROW) AS burst,
                sum(begun) OVER (PARTITION BY environment, service ORDER BY second
                    RANGE BETWEEN 360 PRECEDING AND 61 PRECEDING) AS begun_before
            FROM seconds
        )
        WHERE burst >= 20 AND begun >= 20 AND begun * 2 >= burst AND begun * 60 >= begun_before
    )
SELECT * FROM (
    SELECT
        lower(hex(connection_id)) AS connection_id, environment, service, route, last_seen AS detected_at,
        concat('Came back by a fixed timer: six connections of one user, each after the one before had broken off, ',
            toString(round(shortest_ms)), ' to ', toString(round(longest_ms)), ' ms apart.') AS evidence
    FROM by_timer
    WHERE intervals = 5 AND breaks = 5 AND mean_ms <= 60000 AND first_seen >= since_at AND first_seen < until_at
        AND (longest_ms - shortest_ms <= 0.2 * mean_ms OR mean_ms <= 500)
    UNION ALL
    SELECT
        lower(hex(come.connection_id)) AS connection_id, come.environment AS environment, come.service AS service,
        come.route AS route, come.last_seen AS detected_at,
        concat('Came back all at once: ', toString(herds.begun), ' connections of the service in one second, ',
            'after ', toString(herds.burst), ' had broken off together within the minute before.') AS evidence
    FROM come
    INNER JOIN herds ON come.environment = herds.environment AND come.service = herds.service
        AND intDiv(come.begun_ms, 1000) = herds.second
    WHERE come.first_seen >= since_at AND come.first_seen < until_at
)
ORDER BY connection_id, evidence DESC
LIMIT 1 BY connection_id
