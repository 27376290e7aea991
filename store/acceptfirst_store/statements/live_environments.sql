-- For: the live page: which environments there are, and how fresh what is stored of each is.
-- Parameters: floor (32 hex digits: the least connection id to look at; see acceptfirst_analysis.page.reading).
-- Columns: environment, last_seen (of the newest span), rows (stored, twins not yet merged included).
SELECT environment, max(last_seen) AS last_seen, count() AS rows
FROM acceptfirst.handshakes
WHERE connection_id >= toFixedString(unhex({floor:String}), 16)
GROUP BY environment
ORDER BY environment
