-- For: a page of handshakes in the API, the newest connection first.
-- Parameters: environment, service, route (empty: any), since, until (of first_seen, until is excluded), cursor (hex id
-- of the last row of the page before, empty: from the start), limit.
-- Columns: as of the table, connection_id in lower hex.
-- FINAL has to put together every connection that it is let see, so it is let see no more than the page may need: rows as they
-- lie are looked through from the newest, in the order of the table, for twice as many connections as the page has. Where they
-- do not make a page, since some of them fail once they are put together, all are looked at. An id's time lies at most a day
-- from its spans' (see the migration that makes the view), so the range bounds the ids, too.
WITH
    toUInt64(2 * {limit:UInt32} + 100) AS candidates_max,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(
        toUInt64(least(greatest(0, ms), 281474976710655)))), 3), repeat('\0', 10)), 16)) AS id_at,
    id_at(toUnixTimestamp64Milli({since:DateTime64(6, 'UTC')}) - 86401000) AS first_id,
    least(
        id_at(toUnixTimestamp64Milli({until:DateTime64(6, 'UTC')}) + 86401000),
        if({cursor:String} = '', toFixedString(repeat('\xFF', 16), 16), toFixedString(unhex({cursor:String}), 16))
    ) AS end_id,
    (
        SELECT (min(connection_id), max(connection_id), count())
        FROM (
            SELECT DISTINCT connection_id
            FROM acceptfirst.handshakes
            WHERE connection_id >= first_id AND connection_id < end_id
                -- What one row does not know, another row of the connection may.
                AND ({environment:String} = '' OR environment IN ({environment:String}, ''))
                AND ({service:String} = '' OR service IN ({service:String}, ''))
                AND ({route:String} = '' OR route IN ({route:String}, ''))
                AND first_seen >= {since:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')}
            ORDER BY connection_id DESC
            LIMIT candidates_max
        )
    ) AS candidates,
    (
        SELECT count()
        FROM acceptfirst.handshakes FINAL
        WHERE connection_id >= candidates.1 AND connection_id <= candidates.2 AND candidates.3 = candidates_max
            AND ({environment:String} = '' OR environment = {environment:String})
            AND ({service:String} = '' OR service = {service:String})
            AND ({route:String} = '' OR route = {route:String})
            AND first_seen >= {since:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')}
    ) AS found,
    if(candidates.3 < candidates_max OR found >= {limit:UInt32}, candidates.1, first_id) AS from_id
SELECT
    lower(hex(connection_id)) AS connection_id, environment, service, service_version, route, attempt, readiness_mode,
    gate, policy_version, policy_arm, weight, delay_applied_ms, connected_ns, ready_ns, first_message_ns, outcome,
    signature, patterns, close_code, close_initiator, messages_received, messages_sent, messages_early, phases,
    error_type, error_kind, dwell_ms, idle_ms, unread_ms, user_hash, first_seen, last_seen
FROM
(
    SELECT *, connected_ns, ready_ns, outcome, signature
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id >= from_id AND connection_id <= candidates.2 AND candidates.3 > 0
)
WHERE
    ({environment:String} = '' OR environment = {environment:String})
    AND ({service:String} = '' OR service = {service:String})
    AND ({route:String} = '' OR route = {route:String})
    AND first_seen >= {since:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')}
ORDER BY connection_id DESC
LIMIT {limit:UInt32}
