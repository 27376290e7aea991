-- For: alerts check: whether there was anything to judge. One row.
-- Parameters: environment (empty: any), since, until (of the minutes in which connections began; until is excluded).
-- Columns: connections (rows, drawn or not).
SELECT sum(handshake_rollup_1m.connections) AS connections
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
    AND ({environment:String} = '' OR environment = {environment:String})
