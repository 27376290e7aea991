-- For: a version above every row of some minutes, also when the store's clock was set back. One row.
-- Parameters: minutes Array(UInt32) (Unix seconds).
-- Columns: version.
SELECT greatest(toUInt64(toUnixTimestamp64Nano(now64(9))), maxOrDefault(version) + 1) AS version
FROM acceptfirst.handshake_rollup_1m
WHERE minute IN (SELECT toDateTime(arrayJoin({minutes:Array(UInt32)}), 'UTC'))
