-- 2026-11-25. WHY: n_missing is how many handshakes are missing, which is what people ask for; how many of those that
-- came never became ready is another number. `headroom` is what delay_ms was multiplied by for the next week's drift.
ALTER TABLE acceptfirst.tuning_recommendations
    ADD COLUMN IF NOT EXISTS n_never_ready UInt64 AFTER n_missing,
    ADD COLUMN IF NOT EXISTS headroom Float64 DEFAULT 1 AFTER n_never_ready;
