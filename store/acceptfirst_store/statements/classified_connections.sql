-- For: the classifier's answer; how many connections its range holds.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: connections.
SELECT count() AS connections
FROM acceptfirst.handshakes FINAL
WHERE first_seen >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
    AND first_seen < parseDateTime64BestEffort({until:String}, 9, 'UTC')
    AND ({environment:String} = '' OR environment = {environment:String})
SETTINGS do_not_merge_across_partitions_select_final = 1
