-- For: the values of the boards' variable service, the busiest first.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments (array; one that
-- holds an empty text: any).
-- Columns: service.
SELECT toString(service) AS service
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND service != ''
GROUP BY service
ORDER BY sum(connections) DESC, service
LIMIT 500
