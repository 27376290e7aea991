-- For: the connections that an erasure is about. One row a connection.
-- Parameters: connection_id, user_hash String (one of them empty).
-- Columns: id (lower hex), minute_s (of the rollup, Unix seconds), day (partition of the narrow tables),
-- first_day, last_day (partitions of otel_traces that its spans may lie in).
SELECT
    lower(hex(connection_id)) AS id,
    toUInt32(least(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 60000) * 60, 4294967280)) AS minute_s,
    _partition_id AS day,
    toDate(first_seen) AS first_day,
    toDate(last_seen) AS last_day
FROM acceptfirst.handshakes FINAL
WHERE if({user_hash:String} != '', user_hash = {user_hash:String},
    connection_id = toFixedString(unhex({connection_id:String}), 16))
ORDER BY id
