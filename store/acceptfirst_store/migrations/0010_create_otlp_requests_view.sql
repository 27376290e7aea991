-- 2026-11-24. WHY: turns requests into rows exactly as the official exporter writes them, so that nobody downstream can
-- tell which collector it was: hex ids, every attribute as text (arrays and maps as JSON, bytes as base64), the words
-- Unset/Ok/Error and Internal/Server/…. Times that a DateTime64(9) can't hold are clamped; an end before its start is 0.
CREATE MATERIALIZED VIEW IF NOT EXISTS acceptfirst.otlp_requests_mv TO acceptfirst.otel_traces
AS
WITH
    9223372036854775807 AS last_instant_ns,
    (scalar -> multiIf(
        scalar.value = 'string_value', toJSONString(scalar.string_value),
        scalar.value = 'int_value', toString(scalar.int_value),
        scalar.value = 'bool_value', if(scalar.bool_value, 'true', 'false'),
        scalar.value = 'double_value', toString(scalar.double_value),
        scalar.value = 'bytes_value', concat('"', base64Encode(scalar.bytes_value), '"'),
        'null')) AS scalar_json,
    (given -> multiIf(
        given.value = 'string_value', given.string_value,
        given.value = 'int_value', toString(given.int_value),
        given.value = 'bool_value', if(given.bool_value, 'true', 'false'),
        given.value = 'double_value', toString(given.double_value),
        given.value = 'bytes_value', base64Encode(given.bytes_value),
        given.value = 'array_value', concat('[',
            arrayStringConcat(arrayMap(item -> scalar_json(item), given.array_value.values), ','), ']'),
        given.value = 'kvlist_value', concat('{',
            arrayStringConcat(arrayMap(item -> concat(toJSONString(item.key), ':', scalar_json(item.value)),
                given.kvlist_value.values), ','), '}'),
        '')) AS value_text,
    (pairs -> mapFromArrays(pairs.key, arrayMap(given -> value_text(given), pairs.value))) AS as_map,
    (ns -> fromUnixTimestamp64Nano(toInt64(least(ns, last_instant_ns)))) AS instant
SELECT
    instant(span.start_time_unix_nano) AS Timestamp,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    transform(span.kind, [0, 1, 2, 3, 4, 5],
        ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'], '') AS SpanKind,
    ResourceAttributes['service.name'] AS ServiceName,
    ResourceAttributes,
    scope.name AS ScopeName,
    scope.version AS ScopeVersion,
    as_map(span.attributes) AS SpanAttributes,
    if(span.end_time_unix_nano > span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano, 0) AS Duration,
    transform(span.status.code, [0, 1, 2], ['Unset', 'Ok', 'Error'], '') AS StatusCode,
    span.status.message AS StatusMessage,
    arrayMap(ns -> instant(ns), span.events.time_unix_nano) AS `Events.Timestamp`,
    span.events.name AS `Events.Name`,
    arrayMap(pairs -> as_map(pairs), span.events.attributes) AS `Events.Attributes`,
    arrayMap(id -> lower(hex(id)), span.links.trace_id) AS `Links.TraceId`,
    arrayMap(id -> lower(hex(id)), span.links.span_id) AS `Links.SpanId`,
    span.links.trace_state AS `Links.TraceState`,
    arrayMap(pairs -> as_map(pairs), span.links.attributes) AS `Links.Attributes`
FROM
(
    SELECT ResourceAttributes, scope_span.scope AS scope, arrayJoin(scope_span.spans) AS span
    FROM
    (
        SELECT as_map(resource_span.resource.attributes) AS ResourceAttributes,
               arrayJoin(resource_span.scope_spans) AS scope_span
        FROM (SELECT arrayJoin(resource_spans) AS resource_span FROM acceptfirst.otlp_requests)
    )
);
