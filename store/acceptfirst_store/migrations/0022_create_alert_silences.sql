-- 2026-11-25. WHY: whoever is on call silences an alert from where they are, not by editing a file on a server, and
-- afterwards others must see who kept whom from being told, and why. Each step is a row that nobody changes: `set`, and
-- `lift` where it was ended before its time. An empty label fits every alert; all of them are those of the `set`.
CREATE TABLE IF NOT EXISTS acceptfirst.alert_silences
(
    id String,
    step LowCardinality(String),
    happened_at DateTime64(3, 'UTC'),
    actor String,
    reason String,
    rule String,
    environment String,
    service String,
    route String,
    pattern String,
    until DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (id, happened_at)
SETTINGS index_granularity = 8192, fsync_after_insert = 1, fsync_part_directory = 1;
