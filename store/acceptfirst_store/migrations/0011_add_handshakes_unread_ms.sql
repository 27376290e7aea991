-- 2026-11-25. WHY: a connection on which nobody receives can't show its end; for how long that was so is what tells a
-- handler that only sends (zombie_half_open). Unknown, or under a second: NULL. The view is that of 0006 with one column
-- more, changed in place: between a DROP and a CREATE, spans would come in that no view sees.
ALTER TABLE acceptfirst.handshakes
    ADD COLUMN IF NOT EXISTS unread_ms SimpleAggregateFunction(max, Nullable(Float64)) AFTER idle_ms;

ALTER TABLE acceptfirst.handshakes_mv MODIFY QUERY
WITH
    SpanAttributes['acceptfirst.connection.id'] AS given_id,
    unhex(if(match(given_id, '^[0-9a-fA-F]{32}$'), given_id, repeat('0', 32))) AS id_bytes,
    toInt64(reinterpretAsUInt64(reverse(substring(id_bytes, 1, 6)))) AS id_ms,
    toUInt64(greatest(0, toUnixTimestamp64Milli(Timestamp))) AS span_ms,
    substring(reverse(reinterpretAsString(intDiv(span_ms, 86400000) * 86400000 + bitShiftLeft(toUInt64(1), 56))), 3) AS day_bytes,
    SpanName = 'websocket.transition' AS is_transition,
    if(is_transition, SpanAttributes['acceptfirst.state.from'], '') AS from_state,
    if(is_transition, SpanAttributes['acceptfirst.state.to'], '') AS to_state,
    toDateTime64(0, 9, 'UTC') AS never,
    -- An end that no instant can hold (a hostile duration) would refuse the whole block.
    toInt64(greatest(0, toUnixTimestamp64Nano(Timestamp))) AS started_ns,
    fromUnixTimestamp64Nano(started_ns + toInt64(least(Duration, toUInt64(9223372036854775807 - started_ns))), 'UTC') AS span_ended_at,
    SpanAttributes['acceptfirst.signature'] AS span_signature
SELECT
    toFixedString(if(abs(id_ms - toInt64(span_ms)) <= 86400000, id_bytes,
        concat(day_bytes, substring(reinterpretAsString(sipHash128(given_id)), 1, 10))), 16) AS connection_id,
    multiIf(
        SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
        ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) AS environment,
    ServiceName AS service,
    ResourceAttributes['service.version'] AS service_version,
    SpanAttributes['http.route'] AS route,
    toUInt16OrZero(SpanAttributes['acceptfirst.attempt']) AS attempt,
    SpanAttributes['acceptfirst.readiness.mode'] AS readiness_mode,
    SpanAttributes['acceptfirst.gate'] AS gate,
    SpanAttributes['acceptfirst.policy.version'] AS policy_version,
    SpanAttributes['acceptfirst.policy.arm'] AS policy_arm,
    ifNotFinite(toFloat64OrZero(SpanAttributes['acceptfirst.sample.weight']), 0) AS weight,
    ifNotFinite(toFloat64OrZero(SpanAttributes['acceptfirst.delay.applied_ms']), 0) AS delay_applied_ms,
    multiIf(
        from_state = 'HANDSHAKE_PENDING', toTimeZone(Timestamp, 'UTC'),
        to_state = 'HANDSHAKE_PENDING', span_ended_at,
        never) AS pending_at,
    if(to_state = 'CONNECTED', span_ended_at, never) AS connected_at,
    if(to_state = 'READY_FOR_MESSAGES', span_ended_at, never) AS ready_at,
    toUInt64(least(1e18, greatest(0, ifNotFinite(toFloat64OrZero(SpanAttributes['acceptfirst.first_message_ms']), 0) * 1e6))) AS first_message_ns,
    if(from_state != 'ERROR' AND to_state IN ('ERROR', 'CLOSED'), SpanAttributes['acceptfirst.transition.trigger'], '') AS ended_by,
    if(span_signature = '', '', concat(char(least(255, length(span_signature))), span_signature)) AS ranked_signature,
    if(SpanName = 'websocket.violation' AND SpanAttributes['acceptfirst.pattern.type'] != '',
        [SpanAttributes['acceptfirst.pattern.type']], []) AS patterns,
    toUInt16OrZero(SpanAttributes['acceptfirst.close.code']) AS close_code,
    SpanAttributes['acceptfirst.close.initiator'] AS close_initiator,
    toUInt64OrZero(SpanAttributes['acceptfirst.messages.received']) AS messages_received,
    toUInt64OrZero(SpanAttributes['acceptfirst.messages.sent']) AS messages_sent,
    toUInt64OrZero(SpanAttributes['acceptfirst.messages.early']) AS messages_early,
    mapApply((name, duration_ms) -> (substring(toString(name), 19, length(name) - 30),
            ifNotFinite(toFloat64OrZero(duration_ms), 0)),
        mapFilter((name, duration_ms) -> startsWith(name, 'acceptfirst.phase.') AND endsWith(name, '.duration_ms')
            AND length(name) > 30, SpanAttributes)) AS phases,
    if(is_transition, SpanAttributes['error.type'], '') AS error_type,
    SpanAttributes['acceptfirst.error.kind'] AS error_kind,
    if(isFinite(toFloat64OrNull(SpanAttributes['acceptfirst.dwell_ms']) AS given_dwell_ms), given_dwell_ms, NULL) AS dwell_ms,
    if(isFinite(toFloat64OrNull(SpanAttributes['acceptfirst.idle_ms']) AS given_idle_ms), given_idle_ms, NULL) AS idle_ms,
    if(isFinite(toFloat64OrNull(SpanAttributes['acceptfirst.unread_ms']) AS given_unread_ms), given_unread_ms, NULL) AS unread_ms,
    SpanAttributes['acceptfirst.user.hash'] AS user_hash,
    toTimeZone(Timestamp, 'UTC') AS first_seen,
    span_ended_at AS last_seen
FROM acceptfirst.otel_traces
WHERE ScopeName = 'acceptfirst' AND given_id != '';
