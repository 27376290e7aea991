-- For: where a backfill goes on. One row.
-- Parameters: none.
-- Columns: now_s (the store's clock, Unix seconds), through_s (all spans before it are taken up), revision.
SELECT
    toUnixTimestamp(now()) AS now_s,
    maxOrDefault(toUnixTimestamp(through)) AS through_s,
    maxOrDefault(revision) AS revision
FROM (SELECT * FROM acceptfirst.job_progress FINAL WHERE job = 'backfill')
