-- For: the state of an environment's policy, or the one that a rollback restores.
-- Parameters: environment, revision (0: the latest).
-- Columns: those of policy_events; in_force, candidate and evidence are JSON texts.
SELECT *
FROM acceptfirst.policy_events
WHERE environment = {environment:String} AND ({revision:UInt64} = 0 OR revision = {revision:UInt64})
ORDER BY revision DESC, happened_at DESC
LIMIT 1
