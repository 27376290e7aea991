-- 2026-11-24. WHY: whatever inserts into otel_traces (our collector or the official one) feeds the narrow table.
-- An id that is not 32 hex digits, or whose time is more than a day from its span's own, is hashed under the span's
-- day: a hostile id can then make no partition that an honest span of that day would not have made.
CREATE MATERIALIZED VIEW IF NOT EXISTS acceptfirst.handshake_transitions_mv TO acceptfirst.handshake_transitions
AS
WITH
    SpanAttributes['acceptfirst.connection.id'] AS given_id,
    unhex(if(match(given_id, '^[0-9a-fA-F]{32}$'), given_id, repeat('0', 32))) AS id_bytes,
    toInt64(reinterpretAsUInt64(reverse(substring(id_bytes, 1, 6)))) AS id_ms,
    toUInt64(greatest(0, toUnixTimestamp64Milli(Timestamp))) AS span_ms,
    substring(reverse(reinterpretAsString(intDiv(span_ms, 86400000) * 86400000 + bitShiftLeft(toUInt64(1), 56))), 3) AS day_bytes
SELECT
    toFixedString(if(abs(id_ms - toInt64(span_ms)) <= 86400000, id_bytes,
        concat(day_bytes, substring(reinterpretAsString(sipHash128(given_id)), 1, 10))), 16) AS connection_id,
    toUInt16OrZero(SpanAttributes['acceptfirst.transition.sequence']) AS sequence,
    multiIf(
        SpanAttributes['acceptfirst.environment'] != '', SpanAttributes['acceptfirst.environment'],
        ResourceAttributes['deployment.environment.name'] != '', ResourceAttributes['deployment.environment.name'],
        ResourceAttributes['deployment.environment']) AS environment,
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
