-- For: `acceptfirst status`: how the handshakes of the last hour ended, and how many are open. Costs what that hour costs.
-- Parameters: since (DateTime64, UTC: first_seen at or after it; ids may be ten minutes older).
-- Columns: environment, outcome, handshakes (sum of weights), connections (rows), violations (patterns seen), oldest_at
-- (first_seen of the oldest).
WITH
    toUInt64(greatest(0, toUnixTimestamp64Milli({since:DateTime64(6, 'UTC')}))) AS since_ms,
    intDiv(since_ms, 86400000) * 86400000 AS day_ms,
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at
SELECT
    environment, outcome, sum(weight) AS handshakes, count() AS connections, sum(length(patterns)) AS violations,
    min(first_seen) AS oldest_at
FROM
(
    SELECT *, outcome
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id >= id_at(since_ms - least(since_ms, 600000))
        OR (connection_id >= id_at(day_ms) AND connection_id < id_at(day_ms + 1))
)
WHERE first_seen >= {since:DateTime64(6, 'UTC')}
GROUP BY environment, outcome
ORDER BY environment, outcome
