-- For: the classifier's answer; what is written about the connections of its range.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: pattern_type, n (occurrences), the most frequent first.
SELECT pattern_type, count() AS n
FROM acceptfirst.race_condition_patterns FINAL
WHERE connection_id IN (
    SELECT connection_id
    FROM acceptfirst.handshakes
    WHERE connection_id IN (SELECT connection_id FROM acceptfirst.race_condition_patterns)
    GROUP BY connection_id
    HAVING min(first_seen) >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
        AND min(first_seen) < parseDateTime64BestEffort({until:String}, 9, 'UTC')
        AND ({environment:String} = '' OR max(environment) = {environment:String}))
GROUP BY pattern_type
ORDER BY n DESC, pattern_type
SETTINGS do_not_merge_across_partitions_select_final = 1
