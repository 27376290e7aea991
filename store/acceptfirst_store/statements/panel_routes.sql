-- For: the values of the boards' variable route, the busiest first.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments (array; one that
-- holds an empty text: any).
-- Columns: route.
SELECT toString(route) AS route
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND route != ''
GROUP BY route
ORDER BY sum(connections) DESC, route
LIMIT 500
