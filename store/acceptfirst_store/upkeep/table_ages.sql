-- For: from when to when the data of each table are. One row a table that has any.
-- Parameters: none.
-- Columns: name, oldest, newest.
SELECT * FROM (
    SELECT 'otel_traces' AS name, toDateTime64(min(Timestamp), 3, 'UTC') AS oldest, toDateTime64(max(Timestamp), 3, 'UTC') AS newest, count() AS n
    FROM acceptfirst.otel_traces
    UNION ALL
    SELECT 'otel_traces_trace_id_ts', toDateTime64(min(Start), 3, 'UTC'), toDateTime64(max(End), 3, 'UTC'), count()
    FROM acceptfirst.otel_traces_trace_id_ts
    UNION ALL
    SELECT 'handshake_transitions', toDateTime64(min(started_at), 3, 'UTC'), toDateTime64(max(started_at), 3, 'UTC'), count()
    FROM acceptfirst.handshake_transitions
    UNION ALL
    SELECT 'handshakes', toDateTime64(min(first_seen), 3, 'UTC'), toDateTime64(max(last_seen), 3, 'UTC'), count()
    FROM acceptfirst.handshakes
    UNION ALL
    SELECT 'race_condition_patterns', toDateTime64(min(detected_at), 3, 'UTC'), toDateTime64(max(detected_at), 3, 'UTC'), count()
    FROM acceptfirst.race_condition_patterns
    UNION ALL
    SELECT 'handshake_rollup_1m', toDateTime64(min(minute), 3, 'UTC'), toDateTime64(max(minute), 3, 'UTC'), count()
    FROM acceptfirst.handshake_rollup_1m
    UNION ALL
    SELECT 'tuning_recommendations', toDateTime64(min(created_at), 3, 'UTC'), toDateTime64(max(updated_at), 3, 'UTC'), count()
    FROM acceptfirst.tuning_recommendations
    UNION ALL
    SELECT 'policy_events', toDateTime64(min(happened_at), 3, 'UTC'), toDateTime64(max(happened_at), 3, 'UTC'), count()
    FROM acceptfirst.policy_events
)
WHERE n > 0
