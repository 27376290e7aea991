-- For: `acceptfirst tail` and `status`: the handshakes of the last minutes, asked often, so its cost is that of those
-- minutes: ids begin with their time, and one that doesn't is kept under the midnight of its day.
-- Parameters: since (DateTime64, UTC: first_seen at or after it; ids may be ten minutes older), environment, service,
-- route (empty: any), limit.
-- Columns: as handshakes_page, the newest connection first.
WITH
    toUInt64(greatest(0, toUnixTimestamp64Milli({since:DateTime64(6, 'UTC')}))) AS since_ms,
    intDiv(since_ms, 86400000) * 86400000 AS day_ms,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at
SELECT
    lower(hex(connection_id)) AS connection_id, environment, service, service_version, route, attempt, readiness_mode,
    gate, policy_version, policy_arm, weight, delay_applied_ms, connected_ns, ready_ns, first_message_ns, outcome,
    signature, patterns, close_code, close_initiator, messages_received, messages_sent, messages_early, phases,
    error_type, error_kind, dwell_ms, idle_ms, unread_ms, user_hash, first_seen, last_seen
FROM
(
    SELECT *, connected_ns, ready_ns, outcome, signature
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id >= id_at(since_ms - least(since_ms, 600000))
        OR (connection_id >= id_at(day_ms) AND connection_id < id_at(day_ms + 1))
)
WHERE
    first_seen >= {since:DateTime64(6, 'UTC')}
    AND ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND ({route:String} = '' OR route = {route:String})
ORDER BY connection_id DESC
LIMIT {limit:UInt32}
