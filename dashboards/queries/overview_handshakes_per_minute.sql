-- How many handshakes there are in a minute, over the whole range.
-- Columns: handshakes_per_minute (sums of weights, so that a sample counts for all).
SELECT 60 * sum(weight) / greatest(1, dateDiff('second', $__fromTime, $__toTime)) AS handshakes_per_minute
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen) AND environment IN (${env:singlequote})
