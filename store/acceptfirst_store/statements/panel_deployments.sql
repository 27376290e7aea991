-- For: the boards' annotation of deployments. A service's version counts as deployed in the minute of its first connection, if it
-- had none in the seven days before the range.
-- Parameters: since, until (of that minute; until is excluded), environments (array; one that holds an empty text: any).
-- Columns: time, text, tags.
SELECT min(minute) AS time, concat('Deployed ', service, ' ', service_version, ' to ', environment) AS text, 'deployment' AS tags
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) - toIntervalDay(7) AND minute < {until:DateTime64(6, 'UTC')}
    AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
    AND service_version != ''
GROUP BY environment, service, service_version
HAVING time >= toStartOfMinute({since:DateTime64(6, 'UTC')})
ORDER BY time
LIMIT 200
