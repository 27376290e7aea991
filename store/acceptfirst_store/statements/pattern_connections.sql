-- For: a pattern's page: the last connections that showed it, the newest first.
-- Parameters: pattern, environment (empty: any), since, floor, day_floor, day_ceiling (as in live_summary), limit.
-- Columns: connection_id (lower hex), environment, service, route (the first 300 characters), first_seen, outcome,
-- signature, and over all of them, also those beyond the limit: connections.
SELECT
    lower(hex(connection_id)) AS connection_id, environment, service, substring(route, 1, 300) AS route, first_seen, outcome,
    signature, count() OVER () AS connections
FROM
(
    SELECT *, outcome, signature
    FROM acceptfirst.handshakes FINAL
    WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
            OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
)
WHERE first_seen >= {since:DateTime64(6, 'UTC')}
    AND ({environment:String} = '' OR environment = {environment:String})
    AND (has(patterns, {pattern:String}) OR connection_id IN
    (
        SELECT connection_id
        FROM acceptfirst.race_condition_patterns
        WHERE pattern_type = {pattern:String}
    ))
ORDER BY first_seen DESC, connection_id DESC
LIMIT {limit:UInt32}
