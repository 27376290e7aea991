-- How long ago the latest span ended. Not FINAL: a maximum doesn't care for rows that are not merged yet.
-- Columns: age_s (NULL when there is nothing).
SELECT if(count() = 0, NULL, greatest(0, dateDiff('second', max(last_seen), now64(9)))) AS age_s
FROM acceptfirst.handshakes
WHERE environment IN (${env:singlequote})
