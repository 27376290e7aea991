-- For: who did what to the policies, when and why, the latest first.
-- Parameters: environment (empty: any), limit.
-- Columns: environment, revision, happened_at, action, version, share (0 unless a canary), actor, reason, evidence (JSON).
SELECT environment, revision, happened_at, action, version, share, actor, reason, evidence
FROM acceptfirst.policy_events
WHERE {environment:String} = '' OR environment = {environment:String}
ORDER BY happened_at DESC, revision DESC
LIMIT {limit:UInt32}
