-- For: the values of the boards' variable pattern, the most frequent first.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments (array; one that
-- holds an empty text: any).
-- Columns: pattern.
SELECT pattern
FROM (
    SELECT arrayJoin(mapKeys(mapAdd(violations, patterns))) AS pattern, mapAdd(violations, patterns)[pattern] AS connections
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
)
GROUP BY pattern
ORDER BY sum(connections) DESC, pattern
LIMIT 100
