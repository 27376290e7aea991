-- What was classified, for the report and for the fixes in the code. One row a stratum and pattern.
-- Parameters: environment String ('' for all), since String, until String (ISO 8601, UTC; by the first span).
-- Columns: environment, service, route, pattern_type, severity, delay_helps, occurrences (each counts once),
--   connections, connections_drawn (weight above 0: the ones that a rate may count), examples (up to 3 connection ids),
--   evidence (of the first example).
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at
SELECT
    h.environment AS environment, h.service AS service, h.route AS route, p.pattern_type AS pattern_type,
    any(p.severity) AS severity,
    any(p.delay_helps) AS delay_helps,
    count() AS occurrences,
    uniqExact(h.connection_id) AS connections,
    uniqExactIf(h.connection_id, h.weight > 0) AS connections_drawn,
    arrayMap(id -> lower(hex(id)), arraySlice(arraySort(groupUniqArray(3)(h.connection_id)), 1, 3)) AS examples,
    argMin(p.evidence, h.connection_id) AS evidence
FROM (
    SELECT connection_id, environment, service, route, weight
    FROM acceptfirst.handshakes FINAL
    WHERE first_seen >= since_at AND first_seen < until_at
        AND ({environment:String} = '' OR environment = {environment:String})
) AS h
INNER JOIN (SELECT * FROM acceptfirst.race_condition_patterns FINAL) AS p ON p.connection_id = h.connection_id
GROUP BY environment, service, route, pattern_type
ORDER BY environment, service, route, connections DESC, pattern_type
