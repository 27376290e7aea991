-- For: whole partitions of raw data that are older than a day. One row a partition.
-- Parameters: day Date (itself not included).
-- Columns: name (of the table), partition_id, row_count, bytes_on_disk.
SELECT table AS name, partition_id, sum(rows) AS row_count, sum(bytes_on_disk) AS bytes_on_disk
FROM system.parts
WHERE database = 'acceptfirst' AND active AND (
    (
        replaceRegexpOne(table, '_local$', '') IN
            ('otel_traces', 'handshake_transitions', 'handshakes', 'race_condition_patterns')
        AND toYYYYMMDD({day:Date}) > toUInt32OrDefault(partition_id, toUInt32(99999999))
    ) OR (
        -- A partition of this one is a week, named by its first day.
        replaceRegexpOne(table, '_local$', '') = 'otel_traces_trace_id_ts'
        AND toYYYYMMDD({day:Date} - 6) > toUInt32OrDefault(partition_id, toUInt32(99999999))
    )
)
GROUP BY name, partition_id
ORDER BY name, partition_id
