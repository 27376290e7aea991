-- For: the counters of the live page: connections with each pattern, whoever saw it (the process at once, the classifier
-- when it ran); a connection counts once a pattern, as in pattern_counts.
-- Parameters: environment (empty: any), since, recent_since, floor, day_floor, day_ceiling (as in live_summary, for since).
-- Columns: pattern_type, recent (since recent_since), total (since `since`), last_seen (the latest handshake's first span).
SELECT
    pattern_type,
    countIf(first_seen >= {recent_since:DateTime64(6, 'UTC')}) AS recent,
    count() AS total,
    max(first_seen) AS last_seen
FROM
(
    SELECT h.first_seen AS first_seen,
        arrayJoin(arrayDistinct(arrayConcat(h.patterns, p.classified))) AS pattern_type
    FROM
    (
        SELECT connection_id, environment, first_seen, patterns
        FROM acceptfirst.handshakes FINAL
        WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
                OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                    AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
    ) AS h
    LEFT JOIN
    (
        SELECT connection_id, groupUniqArray(toString(pattern_type)) AS classified
        FROM acceptfirst.race_condition_patterns FINAL
        WHERE (connection_id >= toFixedString(unhex({floor:String}), 16)
                OR (connection_id >= toFixedString(unhex({day_floor:String}), 16)
                    AND connection_id < toFixedString(unhex({day_ceiling:String}), 16)))
        GROUP BY connection_id
    ) AS p ON p.connection_id = h.connection_id
    WHERE h.first_seen >= {since:DateTime64(6, 'UTC')}
        AND ({environment:String} = '' OR h.environment = {environment:String})
)
GROUP BY pattern_type
ORDER BY recent DESC, total DESC, pattern_type
