-- For: the simulator; rows of handshake_transitions of a block, from the fixed-width rows that numpy made. `simulated_rows` stands for the
-- scratch table that this run made and drops again.
-- Parameters: the texts that the rows point to by number from 0: environments, services, routes, modes, gates, policies and
-- arms (by place), versions, signatures and paths (by course; a path is `from>to>trigger` with commas between), errors and
-- error_kinds, initiators, patterns (by bit of `reported`). Arrays of String, all of them.
-- Columns: none, it writes.
INSERT INTO acceptfirst.handshake_transitions (
    connection_id, sequence, environment, service, service_version, route, from_state, to_state, started_at,
    duration_ns, trigger, attempt, readiness_mode, delay_applied_ms, policy_version, policy_arm, weight, trace_id)
WITH
    {environments:Array(String)}[place + 1] AS environment,
    {services:Array(String)}[place + 1] AS service,
    {versions:Array(String)}[version + 1] AS service_version,
    {routes:Array(String)}[place + 1] AS route,
    {modes:Array(String)}[place + 1] AS readiness_mode,
    {policies:Array(String)}[place + 1] AS policy_version,
    {arms:Array(String)}[place + 1] AS policy_arm,
    arrayMap(step -> splitByChar('>', step), splitByChar(',', {paths:Array(String)}[course + 1])) AS path,
    [boundary_0, boundary_1, boundary_2, boundary_3, boundary_4, boundary_5] AS boundaries
SELECT
    connection_id, number - 1, environment, service, service_version, route, step[1], step[2],
    fromUnixTimestamp64Nano(boundaries[number], 'UTC'), boundaries[number + 1] - boundaries[number],
    step[3], 0, readiness_mode, delay_applied_ms, policy_version, policy_arm, weight, MD5(connection_id)
FROM acceptfirst.simulated_rows
ARRAY JOIN path AS step, arrayEnumerate(path) AS number
