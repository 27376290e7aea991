"""The log: what was acknowledged survives the process, and reaches the store exactly once.

Design constraints (the constants stand in `layout`, `journal` and `request_log`; a test reads and hits each):

- a record holds one request of at most `RECORD_BYTES_MAX` (256 MiB), and never spans two segments
- a segment is closed once it holds `SEGMENT_BYTES_MAX` (64 MiB, configurable) and is only ever written by the process
  that made it: every start begins a new one
- integers are little-endian; every header and every payload has its own CRC32C
- an append is acknowledged after fdatasync; appends that wait together share one (group commit)
- `STORED_SEGMENTS_KEPT` (2) stored segments stay on disk; of older ones only the digests, for the window of resends,
  16 bytes a request, in files of `log.seen`
- appends are refused while more than `BACKLOG_BYTES_MAX` (1 GiB, configurable) is not stored, and while less than
  `RESERVE_BYTES` (256 MiB, configurable; on a small disk a tenth) of the disk is free: the store needs it to catch up
- what is *not* supported: two processes on one log (a lock file refuses that), and sequence numbers beyond 2^63

Layout of a segment, `<first sequence, 20 digits>.log`:

```
segment header   magic 8 | log id 16 | first sequence u64 | CRC32C of what stands before u32
record           payload length u32 | sequence u64 | digest 16 | CRC32C of the payload u32 | CRC32C of the header u32
                 payload
record …
```

The header's own checksum makes its length believable, so that a damaged payload costs one record and not the segment.

Writing: one thread takes every request that waits, writes them with one call, syncs once, then resolves their futures.
A write that fails (disk full) is cut off again and its requests are refused; the next group tries anew. After a sync
that failed the kernel may have dropped pages, so the segment is closed at what was synced before and a new one begun.

Reading: the store's writer reads records in order, checks both checksums, and names the range [first, last] that it is
about to insert in `checkpoint.json` (the intent) before it inserts it. After a crash the same range is read again and
makes the same block with the same deduplication token, of which the store drops the twin. When the block is stored the
checkpoint says so; a segment is unlinked only after a checkpoint beyond it was synced.

Recovering: a last record that is incomplete was never acknowledged and is cut off. Anything else that is wrong is
damage: the record, or from a damaged header on the rest of the segment, is skipped; the file is kept beside the log as
`.damaged`, and one line says how much was skipped. A segment that is missing is told by its records' numbers. Where two
segments hold the same sequence the newer one holds: the older could be neither synced nor cut off when it was left. A
lost or unreadable checkpoint means that everything is read again.
"""
