-- For: the values of the boards' variable env, production first.
-- Parameters: since, until (of the minutes in which connections began; until is excluded).
-- Columns: environment.
SELECT toString(environment) AS environment
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
GROUP BY environment
ORDER BY environment != 'production', environment
LIMIT 100
