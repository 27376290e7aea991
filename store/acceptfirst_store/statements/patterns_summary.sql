-- For: what the classifier found, counted, in the API.
-- Parameters: environment, service, route (empty: any), since, until (of detected_at, until is excluded).
-- Columns: pattern_type, severity, environment, service, route, delay_helps, occurrences, connections, first_detected_at,
-- last_detected_at.
SELECT
    pattern_type, any(severity) AS severity, environment, service, route, any(delay_helps) AS delay_helps,
    count() AS occurrences, uniqExact(connection_id) AS connections,
    min(detected_at) AS first_detected_at, max(detected_at) AS last_detected_at
FROM acceptfirst.race_condition_patterns FINAL
WHERE
    ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND ({route:String} = '' OR route = {route:String})
    AND detected_at >= {since:DateTime64(6, 'UTC')} AND detected_at < {until:DateTime64(6, 'UTC')}
GROUP BY pattern_type, environment, service, route
ORDER BY occurrences DESC, pattern_type, environment, service, route
