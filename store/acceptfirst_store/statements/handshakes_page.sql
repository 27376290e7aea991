-- For: a page of handshakes in the API, the newest connection first.
-- Parameters: environment, service, route (empty: any), since, until (of first_seen, until is excluded), cursor (hex id
-- of the last row of the page before, empty: from the start), limit.
-- Columns: as of the table, connection_id in lower hex.
SELECT
    lower(hex(connection_id)) AS connection_id, environment, service, service_version, route, attempt, readiness_mode,
    gate, policy_version, policy_arm, weight, delay_applied_ms, connected_ns, ready_ns, first_message_ns, outcome,
    signature, patterns, close_code, close_initiator, messages_received, messages_sent, messages_early, phases,
    error_type, error_kind, dwell_ms, idle_ms, unread_ms, user_hash, first_seen, last_seen
FROM
(
    SELECT *, connected_ns, ready_ns, outcome, signature
    FROM acceptfirst.handshakes FINAL
    WHERE {cursor:String} = '' OR connection_id < toFixedString(unhex({cursor:String}), 16)
)
WHERE
    ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND ({route:String} = '' OR route = {route:String})
    AND first_seen >= {since:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')}
ORDER BY connection_id DESC
LIMIT {limit:UInt32}
