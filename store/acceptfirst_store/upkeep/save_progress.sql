-- For: how far a job has got.
-- Parameters: job String, revision UInt64 (the highest one of a job holds), through_s UInt32 (Unix seconds).
INSERT INTO acceptfirst.job_progress (job, revision, through, detail)
SELECT {job:String}, {revision:UInt64}, toDateTime({through_s:UInt32}, 'UTC'), ''
