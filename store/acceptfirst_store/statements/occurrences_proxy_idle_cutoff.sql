-- For: the classifier; connections that something between client and server cut off for being idle (pattern 22).
-- Found: on one UTC day and route, five or more connections that broke off without a close frame (1005 or 1006) after 60
-- or 100 s without a message (from 1 s less to 2 s more), five times as densely as at other times within 10 s of it.
-- Idle is what the application sees: where the server pings, a proxy sees traffic, and nothing is cut off.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: connection_id (lower hex), environment, service, route, detected_at, evidence.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    idle AS (
        SELECT connection_id, environment, service, route, toDate(first_seen) AS day, first_seen, last_seen, idle_ms,
            close_code, arrayJoin([60000, 100000]) AS period_ms,
            idle_ms >= period_ms - 1000 AND idle_ms <= period_ms + 2000 AS is_near
        FROM acceptfirst.handshakes FINAL
        -- Whole days, so that a day's answer does not depend on the range that was asked for.
        WHERE toDate(first_seen) >= toDate(since_at) AND toDate(first_seen) <= toDate(until_at)
            AND ({environment:String} = '' OR environment = {environment:String})
            -- Asked of the rows as they lie, which is quick, and often answers everything.
            AND (SELECT count() FROM acceptfirst.handshakes WHERE close_code IN (1005, 1006)
                AND (idle_ms BETWEEN 59000 AND 62000 OR idle_ms BETWEEN 99000 AND 102000)) >= 5
            AND close_code IN (1005, 1006) AND close_initiator = 'client'
            AND idle_ms >= period_ms - 10000 AND idle_ms <= period_ms + 10000
    ),
    clusters AS (
        SELECT environment, service, route, day, period_ms, countIf(is_near) AS near, countIf(NOT is_near) AS around
        FROM idle
        GROUP BY environment, service, route, day, period_ms
        -- 3 s are near, 17 s are around.
        HAVING near >= 5 AND near / 3 >= 5 * around / 17
    )
SELECT
    lower(hex(idle.connection_id)) AS connection_id, idle.environment AS environment, idle.service AS service,
    idle.route AS route, idle.last_seen AS detected_at,
    concat('Cut off after ', toString(round(assumeNotNull(idle.idle_ms))), ' ms of silence with ',
        toString(idle.close_code), ', like ', toString(clusters.near - 1), ' others of the route on that day: ',
        if(idle.period_ms = 60000, '60 s is what nginx and AWS ALB', '100 s is what Cloudflare'), ' allows.') AS evidence
FROM idle
INNER JOIN clusters ON idle.environment = clusters.environment AND idle.service = clusters.service
    AND idle.route = clusters.route AND idle.day = clusters.day AND idle.period_ms = clusters.period_ms
WHERE idle.is_near AND idle.first_seen >= since_at AND idle.first_seen < until_at
