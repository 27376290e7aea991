-- For: what holds now in each environment, on the live page.
-- Parameters: environment (empty: any).
-- Columns: environment, revision, updated_at, in_force and candidate (JSON texts, empty where there is none), share.
SELECT environment, revision, updated_at, in_force, candidate, share
FROM acceptfirst.policies FINAL
WHERE {environment:String} = '' OR environment = {environment:String}
ORDER BY environment
