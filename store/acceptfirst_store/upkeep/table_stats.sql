-- For: what each table takes. One row a table of ours that stores anything, in the order of their size.
-- Parameters: none.
-- Columns: name, row_count, bytes_on_disk, parts, ttl (as it was declared, empty for none).
SELECT
    tables.name AS name,
    sum(parts.rows) AS row_count,
    sum(parts.bytes_on_disk) AS bytes_on_disk,
    countIf(parts.name != '') AS parts,
    any(extract(tables.engine_full, ' TTL (.+?) SETTINGS ')) AS ttl
FROM (
    SELECT name, engine_full FROM system.tables WHERE database = 'acceptfirst' AND engine LIKE '%MergeTree'
) AS tables
LEFT JOIN (
    SELECT table, name, rows, bytes_on_disk FROM system.parts WHERE database = 'acceptfirst' AND active
) AS parts ON parts.table = tables.name
GROUP BY name
ORDER BY bytes_on_disk DESC, name
