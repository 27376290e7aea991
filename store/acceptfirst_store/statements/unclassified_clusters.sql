-- For: misbehaviour that no pattern explains, by what the connections did; the API and the classifier's answer.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: evidence (the same for all of a cluster), connections, examples (up to 3 connection ids, lower hex), the most
--   frequent first, a hundred at most.
SELECT evidence, uniqExact(connection_id) AS connections,
    arrayMap(id -> lower(hex(id)), arraySort(groupUniqArray(3)(connection_id))) AS examples
FROM acceptfirst.race_condition_patterns FINAL
WHERE pattern_type = 'unclassified' AND connection_id IN (
    SELECT connection_id
    FROM acceptfirst.handshakes
    WHERE connection_id IN (
        SELECT connection_id FROM acceptfirst.race_condition_patterns WHERE pattern_type = 'unclassified')
    GROUP BY connection_id
    HAVING min(first_seen) >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
        AND min(first_seen) < parseDateTime64BestEffort({until:String}, 9, 'UTC')
        AND ({environment:String} = '' OR max(environment) = {environment:String}))
GROUP BY evidence
ORDER BY connections DESC, evidence
LIMIT 100
