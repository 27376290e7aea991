-- 2026-11-25. WHY: an official collector may have made otel_traces and its lookup table before us, in either of its known
-- shapes; they are kept as they are, but a batch that comes twice must add nothing, and what left the log must be on the
-- disk. Where the tables are ours this changes nothing.
ALTER TABLE acceptfirst.otel_traces
    MODIFY SETTING non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE acceptfirst.otel_traces_trace_id_ts
    MODIFY SETTING non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;
