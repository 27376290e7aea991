-- For: the simulator; rows of handshakes of a block, from the fixed-width rows that numpy made. `simulated_rows` stands for the
-- scratch table that this run made and drops again.
-- Parameters: the texts that the rows point to by number from 0: environments, services, routes, modes, gates, policies and
-- arms (by place), versions, signatures and paths (by course; a path is `from>to>trigger` with commas between), errors and
-- error_kinds, initiators, patterns (by bit of `reported`). Arrays of String, all of them.
-- Columns: none, it writes.
INSERT INTO acceptfirst.handshakes (
    connection_id, environment, service, service_version, route, attempt, readiness_mode, gate, policy_version,
    policy_arm, weight, delay_applied_ms, pending_at, connected_at, ready_at, first_message_ns, ended_by,
    ranked_signature, patterns, close_code, close_initiator, messages_received, messages_sent, messages_early, phases,
    error_type, error_kind, dwell_ms, idle_ms, unread_ms, user_hash, first_seen, last_seen)
WITH
    {environments:Array(String)}[place + 1] AS environment,
    {services:Array(String)}[place + 1] AS service,
    {versions:Array(String)}[version + 1] AS service_version,
    {routes:Array(String)}[place + 1] AS route,
    {modes:Array(String)}[place + 1] AS readiness_mode,
    {policies:Array(String)}[place + 1] AS policy_version,
    {arms:Array(String)}[place + 1] AS policy_arm,
    arrayMap(step -> splitByChar('>', step), splitByChar(',', {paths:Array(String)}[course + 1])) AS path,
    {signatures:Array(String)}[course + 1] AS seen,
    arrayFilter(step -> step[1] != 'ERROR' AND step[2] IN ('ERROR', 'CLOSED'), path) AS ends
SELECT
    connection_id, environment, service, service_version, route, 0, readiness_mode, {gates:Array(String)}[place + 1],
    policy_version, policy_arm, weight, delay_applied_ms,
    fromUnixTimestamp64Nano(pending_ns, 'UTC'), fromUnixTimestamp64Nano(connected_ns, 'UTC'),
    fromUnixTimestamp64Nano(ready_ns, 'UTC'),
    if(isNaN(first_message_ms), 0, toUInt64(ifNotFinite(first_message_ms, 0) * 1e6)),
    if(empty(ends), '', ends[1][3]), concat(char(length(seen)), seen),
    arrayFilter((name, number) -> bitTest(reported, number - 1), {patterns:Array(String)},
        arrayEnumerate({patterns:Array(String)})),
    close_code, {initiators:Array(String)}[initiator + 1], received, sent, early,
    if(isNaN(shadow_ready_ms), map(), map('ready', shadow_ready_ms)),
    {errors:Array(String)}[error + 1], {error_kinds:Array(String)}[error + 1],
    if(isNaN(dwell_ms), NULL, dwell_ms), if(isNaN(idle_ms), NULL, idle_ms), if(isNaN(unread_ms), NULL, unread_ms),
    if(user = 0, '', lower(hex(MD5(toString(user))))),
    fromUnixTimestamp64Nano(boundary_0, 'UTC'), fromUnixTimestamp64Nano(last_ns, 'UTC')
FROM acceptfirst.simulated_rows
