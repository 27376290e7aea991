-- For: a notebook; what the classifier wrote, one row an occurrence.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; of detected_at), cursor String
--   (hex id of the last connection of the page before, empty: from the start), limit UInt32 (of connections).
-- Columns: connection_id (lower hex), pattern_type, severity, environment, service, route, detected_at, evidence,
--   delay_helps, by connection and pattern.
SELECT lower(hex(p.connection_id)) AS connection_id, pattern_type, severity, environment, service, route, detected_at,
    evidence, delay_helps
FROM acceptfirst.race_condition_patterns AS p FINAL
WHERE p.connection_id IN (
    SELECT DISTINCT connection_id
    FROM acceptfirst.race_condition_patterns
    WHERE ({cursor:String} = '' OR connection_id > toFixedString(unhex({cursor:String}), 16))
        AND detected_at >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
        AND detected_at < parseDateTime64BestEffort({until:String}, 9, 'UTC')
        AND ({environment:String} = '' OR environment = {environment:String})
    ORDER BY connection_id
    LIMIT {limit:UInt32})
    AND detected_at >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
    AND detected_at < parseDateTime64BestEffort({until:String}, 9, 'UTC')
ORDER BY connection_id, pattern_type
