-- For: Overview, panel 5. Handshakes that nothing has ended, begun longer ago than some seconds and within the last hour, as in
-- alert AF-05. Now, whatever the range says. The ids tell which part of the table to read; one that had to be hashed lies at
-- its day's midnight.
-- Parameters: environments, services, routes (arrays; one that holds an empty text: any), older_than_s (seconds).
-- Columns: stuck (sum of weights).
WITH unhex(leftPad(hex(toUInt64(toUnixTimestamp(toStartOfDay(now('UTC') - 3600))) * 1000), 12, '0')) AS first_id
SELECT sum(weight) AS stuck
FROM acceptfirst.handshakes FINAL
WHERE connection_id >= toFixedString(concat(first_id, repeat('\0', 10)), 16)
    AND first_seen > now() - 3600 AND first_seen < now() - {older_than_s:UInt32}
    AND outcome = 'open'
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
    AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
