-- For: the classifier; deploys that made handshakes worse (pattern 25), found by the classifier from the
-- statements deploys and deploy_outcomes: Fisher's exact test is not SQL. Here they become occurrences, each with the first
-- connection of the new version on the route.
-- Parameters: ids (32 hex digits), environments, services, routes, sentences Array(String), started Array(Int64) (Unix
--   milliseconds).
-- Columns: connection_id (lower hex), environment, service, route, detected_at, evidence.
SELECT found.1 AS connection_id, found.2 AS environment, found.3 AS service, found.4 AS route,
    fromUnixTimestamp64Milli(found.6) AS detected_at, found.5 AS evidence
FROM (
    SELECT arrayJoin(arrayZip({ids:Array(String)}, {environments:Array(String)}, {services:Array(String)},
        {routes:Array(String)}, {sentences:Array(String)}, {started:Array(Int64)})) AS found
)
