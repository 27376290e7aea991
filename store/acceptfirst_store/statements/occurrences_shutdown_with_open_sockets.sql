-- For: the classifier; connections that the server's shutdown cut off (pattern 20).
-- Found: three or more connections of a service that the server ended with 1012 within a second or its neighbours, and
-- the handshakes of that moment whose accept failed. Not known: whether the handlers ended in time, since no span tells
-- when a task ends; a handler that still did something after its disconnect is named.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: connection_id (lower hex), environment, service, route, detected_at, evidence.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at,
    ended AS (
        SELECT
            connection_id, environment, service, route, first_seen, last_seen, signature,
            close_code = 1012 AND close_initiator = 'server' AS is_stopped,
            intDiv(if(isNull(dwell_ms), toUnixTimestamp64Milli(last_seen),
                toUnixTimestamp64Milli(connected_at) + toInt64(least(greatest(dwell_ms, 0), 1e12))), 1000) AS second
        FROM acceptfirst.handshakes FINAL
        -- A day on either side: who was stopped with a connection of the range may have come before it.
        WHERE first_seen >= since_at - INTERVAL 1 DAY AND first_seen < until_at + INTERVAL 1 DAY
            AND ({environment:String} = '' OR environment = {environment:String})
            -- Asked of the rows as they lie, which is quick, and as a rule answers everything.
            AND (SELECT count() FROM acceptfirst.handshakes WHERE close_code = 1012) >= 3
            AND ((close_code = 1012 AND close_initiator = 'server')
                OR match(toLowCardinality(signature), '^([^AaXN!]|![RSAX])*a'))
    ),
    stops AS (
        SELECT environment, service, second,
            sum(stopped) OVER (PARTITION BY environment, service ORDER BY second
                RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS together
        FROM (SELECT environment, service, second, countIf(is_stopped) AS stopped FROM ended
              GROUP BY environment, service, second)
    )
SELECT
    lower(hex(ended.connection_id)) AS connection_id, ended.environment AS environment, ended.service AS service,
    ended.route AS route, ended.last_seen AS detected_at,
    concat('The server stopped under open connections: it ended ', toString(stops.together),
        ' of the service with 1012 within a second or two',
        if(ended.is_stopped, '', '; the accept of this one failed meanwhile'),
        if(ended.is_stopped AND match(ended.signature, '(^|[^!])D[A-Za-z!~]*[RSsXxO!]'),
            '; the handler of this one went on after its disconnect', ''),
        '; this one went ', ended.signature, '.') AS evidence
FROM ended
INNER JOIN stops ON ended.environment = stops.environment AND ended.service = stops.service
    AND ended.second = stops.second
WHERE stops.together >= 3 AND ended.first_seen >= since_at AND ended.first_seen < until_at
