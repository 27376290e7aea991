-- For: /metrics and `acceptfirst status`: how large the store is and how new its newest span. Asked every few seconds, so
-- it reads no rows: the parts know their sizes, and the partition key's minimum and maximum.
-- Parameters: none.
-- Columns: bytes_on_disk (all tables, compressed), rows (spans), newest_at (NULL while there is none).
SELECT
    (
        SELECT sum(bytes_on_disk)
        FROM system.parts
        WHERE active AND database = 'acceptfirst'
    ) AS bytes_on_disk,
    count() AS rows,
    if(count() = 0, NULL, toTimeZone(max(Timestamp), 'UTC')) AS newest_at
FROM acceptfirst.otel_traces
