-- For: one connection in the API.
-- Parameters: connection_id (32 hex digits).
-- Columns: as of the table, connection_id in lower hex; no row if there is no such connection.
SELECT
    lower(hex(connection_id)) AS connection_id, environment, service, service_version, route, attempt, readiness_mode,
    gate, policy_version, policy_arm, weight, delay_applied_ms, connected_ns, ready_ns, first_message_ns, outcome,
    signature, patterns, close_code, close_initiator, messages_received, messages_sent, messages_early, phases,
    error_type, error_kind, dwell_ms, idle_ms, unread_ms, user_hash, first_seen, last_seen
FROM
(
    SELECT *, connected_ns, ready_ns, outcome, signature
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id = toFixedString(unhex({connection_id:String}), 16)
)
