-- The states that single handshakes went through, for the figures of the report. One row a connection.
-- Parameters: connections Array(String): ids as 32 hex digits.
-- Columns: connection (hex), states, triggers and durations_ms (one entry a transition, in order; the state that was
--   left, what ended it and how long it had lasted), signature, close_code, outcome.
SELECT
    lower(hex(t.connection_id)) AS connection,
    t.states AS states, t.triggers AS triggers, t.durations_ms AS durations_ms,
    h.signature AS signature, h.close_code AS close_code, h.outcome AS outcome
FROM (
    SELECT connection_id,
        arraySort(groupArray((sequence, toString(from_state), toString(trigger), duration_ns / 1e6))) AS steps,
        steps.2 AS states, steps.3 AS triggers, steps.4 AS durations_ms
    FROM acceptfirst.handshake_transitions FINAL
    WHERE connection_id IN (SELECT toFixedString(unhex(arrayJoin({connections:Array(String)})), 16))
    GROUP BY connection_id
) AS t
INNER JOIN (
    SELECT connection_id, signature, close_code, outcome
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id IN (SELECT toFixedString(unhex(arrayJoin({connections:Array(String)})), 16))
) AS h ON h.connection_id = t.connection_id
ORDER BY connection
