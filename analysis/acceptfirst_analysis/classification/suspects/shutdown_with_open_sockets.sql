-- For: the classifier; connections that a shutdown may have cut off (pattern 20).
-- Parameters: since String, until String (ISO 8601, UTC).
-- Columns: connection_id.
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') - INTERVAL 1 DAY AS from_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') + INTERVAL 2 DAY AS to_at
SELECT connection_id
FROM acceptfirst.handshakes
WHERE first_seen >= from_at AND first_seen < to_at
    AND (SELECT count() FROM acceptfirst.handshakes
        WHERE close_code = 1012 AND first_seen >= from_at AND first_seen < to_at) >= 3
    AND (close_code = 1012 OR ranked_signature IN (
        SELECT ranked FROM (SELECT DISTINCT ranked_signature AS ranked FROM acceptfirst.handshakes)
        WHERE match(substring(ranked, 2), '^([^AaXN!]|![RSAX])*a')))
