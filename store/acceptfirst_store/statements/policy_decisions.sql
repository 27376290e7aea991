-- For: the last word on each environment's policy, in `verify` and the report.
-- Parameters: environment (empty: any).
-- Columns: environment, happened_at, action, version, share (0 unless a canary), actor, reason.
SELECT environment, happened_at, action, version, share, actor, reason
FROM acceptfirst.policy_events
WHERE {environment:String} = '' OR environment = {environment:String}
ORDER BY environment, revision DESC, happened_at DESC
LIMIT 1 BY environment
