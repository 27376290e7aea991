-- The server handed the connection over (its first span begins) to accept returned, the slowest of 20. Drawn rows only: the
-- others are there for their violation.
-- Columns: accept_p95_s (NULL when nothing was accepted).
WITH weight > 0 AND toUnixTimestamp64Nano(connected_at) != 0 AS is_accepted
SELECT if(countIf(is_accepted) = 0, NULL,
    quantileExactIf(0.95)((toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(first_seen)) / 1e9, is_accepted)) AS accept_p95_s
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen) AND environment IN (${env:singlequote})
