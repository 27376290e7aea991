-- For: Patterns & tuning, panel 17. The most frequent race of each route, day by day (UTC); as the classifier says.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any).
-- Columns: time (midnight), route (service and route), pattern ('none' where there were handshakes without a race).
SELECT
    toStartOfDay(minute) AS time,
    concat(service, ' ', route) AS route,
    if(empty(sumMap(patterns) AS found), 'none', arrayReverseSort((name, count) -> (count, name), mapKeys(found), mapValues(found))[1]) AS pattern
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
GROUP BY time, service, handshake_rollup_1m.route
ORDER BY time, route
LIMIT 2000
