-- For: where the next pass of the rollup begins. One row.
-- Parameters: none.
-- Columns: now_s (the store's clock, Unix seconds), through_s (what the last pass had seen; 0 before the first), revision.
SELECT
    toUnixTimestamp(now()) AS now_s,
    maxOrDefault(toUnixTimestamp(through)) AS through_s,
    maxOrDefault(revision) AS revision
FROM (SELECT * FROM acceptfirst.job_progress FINAL WHERE job = 'handshake_rollup_1m')
