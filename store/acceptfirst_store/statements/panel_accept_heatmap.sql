-- For: Handshake detail, panel 10. How the time to accept is distributed, over time: handshakes in classes whose upper bounds grow
-- by about two. From the rollup's states, read at 100 levels of which each stands for a hundredth of the handshakes; so a class
-- is right to one in a hundred, and what it costs does not grow with what is stored.
-- Parameters: since, until (of the minutes in which connections began; until is excluded), environments, services, routes
-- (arrays; one that holds an empty text: any), step_s (seconds between two points, at least 60).
-- Columns: time, then one a class, named by its upper bound in milliseconds (drawn handshakes that were accepted).
WITH
    arrayMap(level -> toFloat64(level), read.levels) AS accept_levels,
    arrayMap(bound -> arrayCount(level -> level <= bound, accept_levels) * accepted / 100,
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]) AS up_to
SELECT
    time,
    up_to[1] AS `1`, up_to[2] - up_to[1] AS `2`, up_to[3] - up_to[2] AS `5`, up_to[4] - up_to[3] AS `10`,
    up_to[5] - up_to[4] AS `20`, up_to[6] - up_to[5] AS `50`, up_to[7] - up_to[6] AS `100`, up_to[8] - up_to[7] AS `200`,
    up_to[9] - up_to[8] AS `500`, up_to[10] - up_to[9] AS `1000`, up_to[11] - up_to[10] AS `2000`,
    up_to[12] - up_to[11] AS `5000`, accepted - up_to[12] AS `+Inf`
FROM (
    SELECT
        toStartOfInterval(minute, toIntervalSecond(greatest(60, {step_s:UInt32}))) AS time,
        quantilesTDigestWeightedMerge(0.005, 0.015, 0.025, 0.035, 0.045, 0.055, 0.065, 0.075, 0.085, 0.095, 0.105, 0.115, 0.125, 0.135, 0.145, 0.155, 0.165, 0.175, 0.185, 0.195, 0.205, 0.215, 0.225, 0.235, 0.245, 0.255, 0.265, 0.275, 0.285, 0.295, 0.305, 0.315, 0.325, 0.335, 0.345, 0.355, 0.365, 0.375, 0.385, 0.395, 0.405, 0.415, 0.425, 0.435, 0.445, 0.455, 0.465, 0.475, 0.485, 0.495, 0.505, 0.515, 0.525, 0.535, 0.545, 0.555, 0.565, 0.575, 0.585, 0.595, 0.605, 0.615, 0.625, 0.635, 0.645, 0.655, 0.665, 0.675, 0.685, 0.695, 0.705, 0.715, 0.725, 0.735, 0.745, 0.755, 0.765, 0.775, 0.785, 0.795, 0.805, 0.815, 0.825, 0.835, 0.845, 0.855, 0.865, 0.875, 0.885, 0.895, 0.905, 0.915, 0.925, 0.935, 0.945, 0.955, 0.965, 0.975, 0.985, 0.995)(accept_ms) AS levels,
        toFloat64(sum(n)) AS accepted
    FROM acceptfirst.handshake_rollup_1m FINAL
    WHERE minute >= toStartOfMinute({since:DateTime64(6, 'UTC')}) AND minute < {until:DateTime64(6, 'UTC')}
        AND (has({environments:Array(String)}, '') OR has({environments:Array(String)}, environment))
        AND (has({services:Array(String)}, '') OR has({services:Array(String)}, service))
        AND (has({routes:Array(String)}, '') OR has({routes:Array(String)}, route))
    GROUP BY time
) AS read
WHERE isFinite(levels[1])
ORDER BY time
