-- For: the classifier; connections that were slow together because what they met had just started (pattern 24).
-- A start is the first handshake of a version that was not seen for 23 hours while another one of the service was, or the
-- first that became ready in the half hour after a server had ended three or more connections of the service with 1012.
-- Found, by route: within 10, 60 or 300 s of a start 20 or more handshakes, and half of all, that took longer to become
-- ready than 50 ms, five times the usual median and the usual 99th percentile; the later the less, by Spearman's rank
-- correlation times the root of n - 1, which is -3.3 or less by chance once in two thousand. Usual is what the route
-- shows from the fifth to the twentieth minute after the start, 50 or more.
-- Only handshakes that became ready tell how long they took; only drawn ones are counted, so that those that are stored
-- for their violation don't weigh twice.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: connection_id (lower hex), environment, service, route, detected_at, evidence.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    come AS (
        SELECT
            connection_id, environment, service, service_version, route, first_seen, last_seen, weight,
            toUnixTimestamp64Milli(first_seen) AS begun_ms,
            close_code = 1012 AND close_initiator = 'server' AS is_stopped,
            intDiv(if(isNull(dwell_ms), toUnixTimestamp64Milli(last_seen),
                toUnixTimestamp64Milli(connected_at) + toInt64(least(greatest(dwell_ms, 0), 1e12))), 1000) AS ended_s,
            toUnixTimestamp64Nano(ready_at) != 0 AND toUnixTimestamp64Nano(pending_at) != 0 AS is_ready,
            greatest(0, toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(pending_at)) / 1e6 AS took_ms
        FROM acceptfirst.handshakes FINAL
        WHERE first_seen >= since_at - INTERVAL 1 DAY AND first_seen < until_at + INTERVAL 1 DAY
            AND ({environment:String} = '' OR environment = {environment:String})
    ),
    version_starts AS (
        SELECT environment, service, service_version, at_ms FROM (
            SELECT environment, service, service_version, slot, at_ms,
                row_number() OVER own AS place, lagInFrame(slot) OVER own AS slot_before,
                min(at_ms) OVER (PARTITION BY environment, service ORDER BY slot
                    RANGE BETWEEN 138 PRECEDING AND CURRENT ROW) AS served_before_ms
            FROM (
                SELECT environment, service, service_version, intDiv(begun_ms, 600000) AS slot, min(begun_ms) AS at_ms
                FROM come
                WHERE service_version != ''
                GROUP BY environment, service, service_version, slot
            )
            WINDOW own AS (PARTITION BY environment, service, service_version ORDER BY slot
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
        WHERE (place = 1 OR slot - slot_before > 138) AND served_before_ms < at_ms
    ),
    stops AS (
        SELECT environment, service, second * 1000 AS stopped_ms FROM (
            SELECT environment, service, second,
                sum(stopped) OVER (PARTITION BY environment, service ORDER BY second
                    RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS together
            FROM (SELECT environment, service, ended_s AS second, count() AS stopped FROM come WHERE is_stopped
                  GROUP BY environment, service, second)
        )
        WHERE together >= 3
    ),
    starts AS (
        SELECT environment, service, service_version, at_ms,
            concat('version ', service_version, ' began to serve') AS began
        FROM version_starts
        UNION DISTINCT
        SELECT stops.environment, stops.service, '', min(come.begun_ms) AS at_ms, 'the server had been stopped' AS began
        FROM stops
        INNER JOIN come ON come.environment = stops.environment AND come.service = stops.service
        WHERE come.is_ready AND come.begun_ms >= stops.stopped_ms AND come.begun_ms < stops.stopped_ms + 1800000
        GROUP BY stops.environment, stops.service, stops.stopped_ms
    ),
    after AS (
        SELECT come.*, starts.at_ms AS at_ms, starts.began AS began, starts.service_version AS started_version,
            begun_ms - at_ms AS since_start_ms
        FROM come
        INNER JOIN starts ON come.environment = starts.environment AND come.service = starts.service
        WHERE come.is_ready AND come.begun_ms >= starts.at_ms AND come.begun_ms < starts.at_ms + 1200000
            AND (starts.service_version = '' OR come.service_version = starts.service_version)
    ),
    usual AS (
        SELECT environment, service, route, at_ms, started_version,
            quantileExact(0.5)(took_ms) AS median_ms, greatest(50, 5 * median_ms, quantileExact(0.99)(took_ms)) AS limit_ms
        FROM after
        WHERE since_start_ms >= 300000 AND weight > 0
        GROUP BY environment, service, route, at_ms, started_version
        HAVING count() >= 50
    ),
    slow AS (
        SELECT after.* EXCEPT (service_version), usual.median_ms AS median_ms, usual.limit_ms AS limit_ms
        FROM after
        INNER JOIN usual ON after.environment = usual.environment AND after.service = usual.service
            AND after.route = usual.route AND after.at_ms = usual.at_ms
            AND after.started_version = usual.started_version
        WHERE since_start_ms < 300000
    ),
    stampedes AS (
        SELECT environment, service, route, at_ms, started_version, within_s,
            count() AS n, countIf(took_ms > limit_ms) AS n_slow, rankCorr(begun_ms, took_ms) AS decay
        FROM slow
        ARRAY JOIN [10, 60, 300] AS within_s
        WHERE weight > 0 AND since_start_ms < within_s * 1000
        GROUP BY environment, service, route, at_ms, started_version, within_s
        HAVING n_slow >= 20 AND n_slow * 2 >= n AND decay * sqrt(n - 1) <= -3.3
    )
SELECT
    lower(hex(slow.connection_id)) AS connection_id, slow.environment AS environment, slow.service AS service,
    slow.route AS route, slow.last_seen AS detected_at,
    concat('Met a cold start: it took ', toString(round(slow.took_ms, 1)), ' ms from connect to ready, ',
        toString(round(slow.since_start_ms / 1000, 1)), ' s after ', slow.began, ', like ',
        toString(stampedes.n_slow), ' of the ', toString(stampedes.n), ' handshakes of the route in the first ',
        toString(stampedes.within_s), ' s (over ', toString(round(slow.limit_ms, 1)),
        ' ms), the later the less (rank correlation ', toString(round(stampedes.decay, 2)),
        '); five minutes later the median was ', toString(round(slow.median_ms, 1)), ' ms.') AS evidence
FROM slow
INNER JOIN stampedes ON slow.environment = stampedes.environment AND slow.service = stampedes.service
    AND slow.route = stampedes.route AND slow.at_ms = stampedes.at_ms
    AND slow.started_version = stampedes.started_version
WHERE slow.took_ms > slow.limit_ms AND slow.since_start_ms < stampedes.within_s * 1000
    AND slow.first_seen >= since_at AND slow.first_seen < until_at
ORDER BY connection_id, stampedes.within_s DESC, evidence
LIMIT 1 BY connection_id
