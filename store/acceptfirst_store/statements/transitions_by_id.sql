-- For: the transitions of one connection in the API, in their order.
-- Parameters: connection_id (32 hex digits).
-- Columns: as of the table without the connection's own dimensions, trace_id in lower hex.
SELECT
    sequence, from_state, to_state, started_at, ended_at, duration_ns, trigger, delay_applied_ms,
    lower(hex(trace_id)) AS trace_id
FROM acceptfirst.handshake_transitions FINAL
WHERE connection_id = toFixedString(unhex({connection_id:String}), 16)
ORDER BY sequence
