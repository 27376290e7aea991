-- 2026-11-25. WHY: a collector that was away makes up for what it missed, and people see when a job last ran, how it
-- ended and what came out: one row a job, its latest run. `succeeded_at` outlives a run that failed. `result` is JSON.
CREATE TABLE IF NOT EXISTS acceptfirst.job_runs
(
    job LowCardinality(String),
    started_at DateTime64(3, 'UTC'),
    ended_at DateTime64(3, 'UTC'),
    succeeded_at DateTime64(3, 'UTC'),
    outcome LowCardinality(String),
    message String,
    result String
)
ENGINE = ReplacingMergeTree(started_at)
ORDER BY job
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;
