-- How handshakes ended, over time. One that became ready after a message had been handled stands under violated.
-- Columns: time, then one a kind (sums of weights).
WITH has(patterns, 'early_message_before_ready') AS is_early
SELECT
    $__timeInterval(first_seen) AS time,
    sumIf(weight, outcome = 'ready' AND NOT is_early) AS ready,
    sumIf(weight, outcome = 'ready' AND is_early) AS violated,
    sumIf(weight, outcome = 'rejected') AS rejected,
    sumIf(weight, outcome = 'abandoned') AS abandoned,
    sumIf(weight, outcome = 'failed') AS failed,
    sumIf(weight, outcome = 'timed_out') AS timed_out,
    sumIf(weight, outcome = 'open') AS open
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen) AND environment IN (${env:singlequote})
GROUP BY time
ORDER BY time
