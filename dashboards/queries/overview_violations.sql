-- Violations, counted one by one: each is exported, whether its connection was drawn or not.
-- Columns: violations; per_10000_handshakes (handshakes by weight; NULL when there are none).
SELECT sum(length(patterns)) AS violations, 10000 * violations / nullIf(sum(weight), 0) AS per_10000_handshakes
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen) AND environment IN (${env:singlequote})
