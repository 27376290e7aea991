-- For: Handshake detail, panel 11. How long connections stay in each part of the handshake, and in each phase that the
-- application names: of the latest 10,000 connections in the range, so that it costs the same however many there are.
-- Parameters: since, until, environments, services, routes (arrays; one that holds an empty text: any).
-- Columns: part, p50_ms, p95_ms, connections.
WITH
    (ms -> toFixedString(concat(substring(reverse(reinterpretAsFixedString(toUInt64(ms))), 3), repeat('\0', 10)), 16)) AS id_at,
    id_at(greatest(0, toUnixTimestamp64Milli({since:DateTime64(6, 'UTC')}))) AS first_id,
    id_at(greatest(0, toUnixTimestamp64Milli({until:DateTime64(6, 'UTC')}))) AS end_id,
    (
        SELECT min(connection_id)
        FROM (
            SELECT connection_id
            FROM acceptfirst.handshakes
            WHERE connection_id >= first_id
                AND connection_id < end_id
            ORDER BY connection_id DESC
            LIMIT 10000
        )
    ) AS oldest_id
SELECT stay.1 AS part, quantile(0.5)(stay.2) AS p50_ms, quantile(0.95)(stay.2) AS p95_ms, count() AS connections
FROM (
    SELECT arrayJoin(arrayConcat(
        if(toUnixTimestamp64Nano(connected_at) = 0, [],
            [('to accept', (toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(first_seen)) / 1e6)]),
        if(toUnixTimestamp64Nano(connected_at) = 0 OR toUnixTimestamp64Nano(ready_at) = 0, [],
            [('accept to ready', greatest(0, toUnixTimestamp64Nano(ready_at) - toUnixTimestamp64Nano(connected_at)) / 1e6)]),
        arrayMap((name, ms) -> (concat('phase ', name), ms), mapKeys(phases), mapValues(phases)))) AS stay
    FROM acceptfirst.handshakes FINAL
    WHERE connection_id >= oldest_id AND connection_id < end_id
        AND connection_id >= first_id
        AND weight > 0
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
        AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
        AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
)
GROUP BY part
ORDER BY (part = 'to accept') DESC, (part = 'accept to ready') DESC, connections DESC, part
LIMIT 20
