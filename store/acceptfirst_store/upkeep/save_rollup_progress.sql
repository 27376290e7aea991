-- For: where the pass after this one begins.
-- Parameters: revision UInt64, through_s UInt32 (Unix seconds by the store's clock).
INSERT INTO acceptfirst.job_progress (job, revision, through, detail)
SELECT 'handshake_rollup_1m', {revision:UInt64}, toDateTime({through_s:UInt32}, 'UTC'), ''
