-- For: whoever goes on from where the last run stopped: which connections something was stored of since, and what time it
--   is by the store's clock, which is the one that touched_at is of.
-- Parameters: touched UInt32 (seconds since 1970, by the store's clock).
-- Columns: now_s, n (rows of these connections), began (when the first of them began, by all that is known of it).
WITH toDateTime({touched:UInt32}, 'UTC') AS since_at
SELECT toUnixTimestamp(now('UTC')) AS now_s, count() AS n, min(first_seen) AS began
FROM acceptfirst.handshakes
WHERE _partition_id IN (SELECT DISTINCT _partition_id FROM acceptfirst.handshakes WHERE touched_at >= since_at)
    AND connection_id IN (SELECT connection_id FROM acceptfirst.handshakes WHERE touched_at >= since_at)
