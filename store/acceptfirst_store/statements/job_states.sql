-- For: when each job last ran, how it ended and what came out; what the timetable goes on from.
-- Parameters: none.
-- Columns: job, started_at, ended_at, succeeded_at (the epoch: never), outcome (ok, failed), message, result (JSON).
SELECT job, started_at, ended_at, succeeded_at, outcome, message, result
FROM acceptfirst.job_runs FINAL
ORDER BY job
