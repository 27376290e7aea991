-- The values of the variable env: environments in the range, production first.
-- Columns: environment.
SELECT environment
FROM acceptfirst.handshakes FINAL
WHERE $__timeFilter(first_seen)
GROUP BY environment
ORDER BY environment != 'production', environment
