-- How much of a range arrived, for whoever counted on the other side (the demo does). One row.
-- Parameters: since String, until String (ISO 8601, UTC; by the start of the transition, until is excluded).
-- Columns: transitions, connections (that have at least one of them).
WITH
    parseDateTime64BestEffort({since:String}, 9, 'UTC') AS since_at,
    parseDateTime64BestEffort({until:String}, 9, 'UTC') AS until_at
SELECT count() AS transitions, uniqExact(connection_id) AS connections
FROM acceptfirst.handshake_transitions FINAL
WHERE started_at >= since_at AND started_at < until_at
