-- Users of a ClickHouse server, with the least that each can work with. Run it once as an administrator, after putting
-- passwords in place of the hashes (SELECT lower(hex(SHA256('…')))):
--   clickhouse-client --multiquery < users.sql
-- In a cluster put ON CLUSTER '<name>' behind each IF NOT EXISTS, and behind GRANT.
--
-- acceptfirst_migrator  runs `acceptfirst db migrate` and prunes: makes and alters tables, deletes from them.
-- acceptfirst_writer    what a collector inserts with, jobs and the keeping of the rollup: reads and inserts, no DDL.
-- acceptfirst_reader    Grafana and people: reads, within bounds of time and memory that it can't lift.
-- `serve` needs the writer's rights once the migrator has migrated; with the migrator's it does both itself.

CREATE SETTINGS PROFILE IF NOT EXISTS acceptfirst_reading SETTINGS
    readonly = 2, max_execution_time = 60 MIN 1 MAX 300, max_memory_usage = 4000000000 MIN 1 MAX 4000000000;

CREATE ROLE IF NOT EXISTS acceptfirst_reads;
GRANT SELECT ON acceptfirst.* TO acceptfirst_reads;
GRANT SELECT ON system.tables TO acceptfirst_reads;
GRANT SELECT ON system.columns TO acceptfirst_reads;
GRANT SELECT ON system.parts TO acceptfirst_reads;

CREATE ROLE IF NOT EXISTS acceptfirst_writes;
GRANT acceptfirst_reads TO acceptfirst_writes;
GRANT INSERT ON acceptfirst.* TO acceptfirst_writes;
GRANT ALTER DELETE ON acceptfirst.race_condition_patterns TO acceptfirst_writes;

CREATE ROLE IF NOT EXISTS acceptfirst_migrates;
GRANT acceptfirst_writes TO acceptfirst_migrates;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW ON acceptfirst.* TO acceptfirst_migrates;
GRANT DROP VIEW ON acceptfirst.* TO acceptfirst_migrates;
GRANT ALTER TABLE, ALTER VIEW ON acceptfirst.* TO acceptfirst_migrates;
GRANT OPTIMIZE ON acceptfirst.* TO acceptfirst_migrates;

CREATE USER IF NOT EXISTS acceptfirst_reader IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000'
    DEFAULT ROLE acceptfirst_reads SETTINGS PROFILE 'acceptfirst_reading';
CREATE USER IF NOT EXISTS acceptfirst_writer IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000'
    DEFAULT ROLE acceptfirst_writes;
CREATE USER IF NOT EXISTS acceptfirst_migrator IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000'
    DEFAULT ROLE acceptfirst_migrates;
GRANT acceptfirst_reads TO acceptfirst_reader;
GRANT acceptfirst_writes TO acceptfirst_writer;
GRANT acceptfirst_migrates TO acceptfirst_migrator;
