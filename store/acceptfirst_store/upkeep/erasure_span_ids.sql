-- For: the ids as spans carry them, of connections that are to be erased: one that had to be hashed is found again here.
-- Parameters: ids Array(String) (lower hex, as in the narrow tables), first_day, last_day Date.
-- Columns: given_id.
WITH
    SpanAttributes['acceptfirst.connection.id'] AS given_id,
    unhex(if(match(given_id, '^[0-9a-fA-F]{32}$'), given_id, repeat('0', 32))) AS id_bytes,
    toInt64(reinterpretAsUInt64(reverse(substring(id_bytes, 1, 6)))) AS id_ms,
    toUInt64(greatest(0, toUnixTimestamp64Milli(Timestamp))) AS span_ms,
    substring(reverse(reinterpretAsString(intDiv(span_ms, 86400000) * 86400000 + bitShiftLeft(toUInt64(1), 56))), 3) AS day_bytes
SELECT DISTINCT given_id
FROM acceptfirst.otel_traces
WHERE toDate(Timestamp) >= {first_day:Date} AND toDate(Timestamp) <= {last_day:Date}
    AND ScopeName = 'acceptfirst' AND given_id != ''
    AND has({ids:Array(String)}, lower(hex(toFixedString(if(abs(id_ms - toInt64(span_ms)) <= 86400000, id_bytes,
        concat(day_bytes, substring(reinterpretAsString(sipHash128(given_id)), 1, 10))), 16))))
