-- Handshakes that nothing has ended yet, begun longer ago than the variable older_than_s. Now, whatever the range says;
-- of the last hour only, since a process that was killed never says how its handshakes ended.
-- Columns: stuck (sum of weights).
SELECT sumIf(weight, outcome = 'open') AS stuck
FROM acceptfirst.handshakes FINAL
WHERE first_seen > now() - 3600 AND first_seen < now() - ${older_than_s} AND environment IN (${env:singlequote})
