-- For: the classifier; connections that may tell of a proxy that cuts off what is idle (pattern 22), and their neighbours.
-- Parameters: since String, until String (ISO 8601, UTC).
-- Columns: connection_id.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') - INTERVAL 1 DAY AS from_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') + INTERVAL 2 DAY AS to_at
SELECT connection_id
FROM acceptfirst.handshakes
WHERE first_seen >= from_at AND first_seen < to_at AND close_code IN (1005, 1006)
    AND (idle_ms BETWEEN 50000 AND 70000 OR idle_ms BETWEEN 90000 AND 110000)
