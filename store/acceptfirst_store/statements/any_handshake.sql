-- For: whether a range holds anything at all, before work is begun on it.
-- Parameters: environment String ('' for all), since, until String (ISO 8601, UTC; by the first span).
-- Columns: connection_id; one row, or none.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at
SELECT connection_id
FROM acceptfirst.handshakes
WHERE first_seen >= since_at AND first_seen < until_at
    AND ({environment:String} = '' OR environment = {environment:String})
LIMIT 1
