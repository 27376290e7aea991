-- 2026-11-25. WHY: the rollup recomputes only minutes that something happened to, so each row of what it is made of says
-- when it was last written, by the store's clock. Rows from before this migration say 1970: they are rolled up once, by
-- the first pass. That is why the default is first the epoch, written out, and only then now(): a default that is never
-- written out would make old rows look touched whenever somebody reads them. Data lie in the order of time, so that the
-- smallest and largest value of each granule tell nearly everything apart.
ALTER TABLE acceptfirst.handshakes
    ADD COLUMN IF NOT EXISTS touched_at SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT toDateTime(0, 'UTC') CODEC(Delta, ZSTD(1));

ALTER TABLE acceptfirst.handshakes MATERIALIZE COLUMN touched_at SETTINGS mutations_sync = 2;

ALTER TABLE acceptfirst.handshakes MODIFY COLUMN touched_at DEFAULT now('UTC');

ALTER TABLE acceptfirst.handshakes ADD INDEX IF NOT EXISTS idx_touched_at touched_at TYPE minmax GRANULARITY 1;

ALTER TABLE acceptfirst.race_condition_patterns
    ADD COLUMN IF NOT EXISTS touched_at DateTime('UTC') DEFAULT toDateTime(0, 'UTC') CODEC(Delta, ZSTD(1));

ALTER TABLE acceptfirst.race_condition_patterns MATERIALIZE COLUMN touched_at SETTINGS mutations_sync = 2;

ALTER TABLE acceptfirst.race_condition_patterns MODIFY COLUMN touched_at DEFAULT now('UTC');

ALTER TABLE acceptfirst.race_condition_patterns ADD INDEX IF NOT EXISTS idx_touched_at touched_at TYPE minmax GRANULARITY 1;
