-- 2026-11-25. WHY: a board over months must not read raw handshakes. One row a minute and set of dimensions, recomputed
-- from `handshakes FINAL` and never incremented, so that a span that comes twice counts once. Read it with FINAL; never
-- add up rows of a key. What a column means:
--   minute          in which the connection began, as its id tells (its first 48 bits); it never changes, and makes the
--                   minute a range of the primary key of `handshakes`. An id that had to be hashed counts at midnight.
--   handshakes      sum of weights: how many there were, whether drawn or not. So are the counts by outcome, which add up
--                   to it: ready, rejected, failed, abandoned, timed_out, open (not over yet, as far as is known).
--   ready_early     of `ready`: those that had a violation early_message_before_ready (sum of weights).
--   n               rows with a weight above 0: the size of the sample, for bounds.
--   connections     all rows, also those that are here for a violation only.
--   accept_ms       first span begins to accept returned, in ms: state of quantilesTDigestWeighted, of drawn rows that were
--                   accepted, weights in thousandths. Merge with quantilesTDigestWeightedMerge(0.5, …), any levels.
--   ready_ms        accept returned to ready, in ms: likewise, of drawn rows that became ready.
--   messages_early  sum over weight times the early messages of a connection.
--   violations      pattern → connections that had a span websocket.violation of it, drawn or not, each once.
--   patterns        pattern → connections of which the classifier said so (race_condition_patterns), each once.
--   users           state of uniq over user_hash, where it is known. Merge with uniqMerge.
--   computed_at     when the row was computed; version: the highest row of a key is the one that holds.
--   is_deleted      1: the key has no handshakes any more (one changed its dimensions, or was erased); FINAL leaves it out.
CREATE TABLE IF NOT EXISTS acceptfirst.handshake_rollup_1m
(
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    environment LowCardinality(String),
    service LowCardinality(String),
    service_version LowCardinality(String),
    route LowCardinality(String),
    readiness_mode LowCardinality(String),
    policy_version LowCardinality(String),
    policy_arm LowCardinality(String),
    handshakes Float64,
    ready Float64,
    ready_early Float64,
    rejected Float64,
    failed Float64,
    abandoned Float64,
    timed_out Float64,
    open Float64,
    n UInt64,
    connections UInt64,
    accept_ms AggregateFunction(quantilesTDigestWeighted(0.5, 0.95, 0.99), Float64, UInt64),
    ready_ms AggregateFunction(quantilesTDigestWeighted(0.5, 0.95, 0.99), Float64, UInt64),
    messages_early Float64,
    violations Map(LowCardinality(String), UInt64),
    patterns Map(LowCardinality(String), UInt64),
    users AggregateFunction(uniq, String),
    computed_at DateTime('UTC'),
    version UInt64,
    is_deleted UInt8
)
ENGINE = ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(minute)
ORDER BY (minute, environment, service, route, service_version, readiness_mode, policy_version, policy_arm)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1;

-- Minutes to be recomputed for a reason that no row can tell any more, since it was deleted.
CREATE TABLE IF NOT EXISTS acceptfirst.handshake_rollup_marks
(
    marked_at DateTime('UTC') DEFAULT now('UTC'),
    minute DateTime('UTC')
)
ENGINE = MergeTree
ORDER BY marked_at
TTL marked_at + INTERVAL 7 DAY
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;

-- How far a job has got, by the store's clock; `revision` counts its steps, so that a clock that was set back loses none.
CREATE TABLE IF NOT EXISTS acceptfirst.job_progress
(
    job LowCardinality(String),
    revision UInt64,
    through DateTime('UTC'),
    detail String
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY job
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;
