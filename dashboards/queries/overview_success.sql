-- Which share of the handshakes that are over became ready before any message was handled; NULL when none is over.
-- Columns: success_percent.
SELECT 100 * sumIf(weight, outcome = 'ready' AND NOT has(patterns, 'early_message_before_ready'))
    / nullIf(sumIf(weight, outcome != 'open'), 0) AS success_percent
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen) AND environment IN (${env:singlequote})
