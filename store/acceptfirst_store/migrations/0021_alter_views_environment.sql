-- 2026-11-25. WHY: whoever does not export through our library may call an environment prod, stage, test, ci or dev, in any
-- case; without this such handshakes were a stratum of their own that no filter by environment finds. The table of names is
-- that of acceptfirst/environment.py (a test compares them). A name that is in neither is kept as it came: to count qa as
-- development would mix what differs. Rows from before stay as they are. The views are otherwise those of the migrations
-- before, changed in place: between a DROP and a CREATE, spans would come in that no view sees.
ALTER TABLE acceptfirst.handshake_transitions_mv MODIFY QUERY
WITH
    multiIf(
        SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
        ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) AS given_environment,
    SpanAttributes['acceptfirst.connection.id'] AS given_id,
    unhex(if(match(given_id, '^[0-9a-fA-F]{32}$'), given_id, repeat('0', 32))) AS id_bytes,
    toInt64(reinterpretAsUInt64(reverse(substring(id_bytes, 1, 6)))) AS id_ms,
    toUInt64(greatest(0, toUnixTimestamp64Milli(Timestamp))) AS span_ms,
    substring(reverse(reinterpretAsString(intDiv(span_ms, 86400000) * 86400000 + bitShiftLeft(toUInt64(1), 56))), 3) AS day_bytes
SELECT
    toFixedString(if(abs(id_ms - toInt64(span_ms)) <= 86400000, id_bytes,
        concat(day_bytes, substring(reinterpretAsString(sipHash128(given_id)), 1, 10))), 16) AS connection_id,
    toUInt16OrZero(SpanAttributes['acceptfirst.transition.sequence']) AS sequence,
    transform(lower(trimBoth(given_environment)),
        ['prod', 'live', 'stage', 'test', 'ci', 'dev', 'local', 'production', 'staging', 'testing', 'development'],
        ['production', 'production', 'staging', 'testing', 'testing', 'development', 'development',
         'production', 'staging', 'testing', 'development'], given_environment) AS environment,
    ServiceName AS service,
    ResourceAttributes['service.version'] AS service_version,
    SpanAttributes['http.route'] AS route,
    SpanAttributes['acceptfirst.state.from'] AS from_state,
    SpanAttributes['acceptfirst.state.to'] AS to_state,
    Timestamp AS started_at,
    -- What ended_at, an ALIAS, can't hold would make the row unreadable.
    least(Duration, toUInt64(9223372036854775807 - toInt64(greatest(0, toUnixTimestamp64Nano(Timestamp))))) AS duration_ns,
    SpanAttributes['acceptfirst.transition.trigger'] AS trigger,
    toUInt16OrZero(SpanAttributes['acceptfirst.attempt']) AS attempt,
    SpanAttributes['acceptfirst.readiness.mode'] AS readiness_mode,
    ifNotFinite(toFloat64OrZero(SpanAttributes['acceptfirst.delay.applied_ms']), 0) AS delay_applied_ms,
    SpanAttributes['acceptfirst.policy.version'] AS policy_version,
    SpanAttributes['acceptfirst.policy.arm'] AS policy_arm,
    ifNotFinite(toFloat64OrZero(SpanAttributes['acceptfirst.sample.weight']), 0) AS weight,
    toFixedString(unhex(if(match(TraceId, '^[0-9a-fA-F]{32}$'), TraceId, repeat('0', 32))), 16) AS trace_id
FROM acceptfirst.otel_traces
WHERE ScopeName = 'acceptfirst' AND SpanName = 'websocket.transition' AND given_id != '';

ALTER TABLE acceptfirst.handshakes_mv MODIFY QUERY
WITH
    multiIf(
        SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
        ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) AS given_environment,
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
    transform(lower(trimBoth(given_environment)),
        ['prod', 'live', 'stage', 'test', 'ci', 'dev', 'local', 'production', 'staging', 'testing', 'development'],
        ['production', 'production', 'staging', 'testing', 'testing', 'development', 'development',
         'production', 'staging', 'testing', 'development'], given_environment) AS environment,
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
