-- The jobs that the service serves: one row a job, one column a member, named as in the JSON.
--
--     sqlite3 jobs.db < schema.sql
--
-- is all that a producer needs (SQLite 3.37 or later, for STRICT). Then write rows from any
-- language: a commit is visible to the service on its next request. The service only reads.
--
-- Use WAL, set below and remembered by the file: readers and the writer do not block each other.
-- To replace the whole file, build the new one under another name in the same folder, close it
-- (which removes its -wal file), and rename it into place. SQLite takes a -wal or -journal file that
-- the old one leaves behind for the new one's, and spoils it, and the -shm file with it: before the
-- rename let nobody write any more, PRAGMA wal_checkpoint(TRUNCATE), and remove the old one's -wal,
-- -journal and -shm.
-- A running service passes over a -wal that was left; one that starts later cannot tell.
--
-- Times are RFC 3339 date-times with an offset, as text, and are served exactly as stored:
-- 2026-05-16T08:00:00Z, 2026-05-16T10:00:00.123456789+02:00. The CHECKs hold all of that but
-- when a leap second may be (23:59 UTC), and that the year 0300 had no 02-29: the service checks
-- these when it reads. In them, '+0 days' makes SQLite write 02-30 as 03-02, and the length in bytes
-- finds a NUL, where text ends for GLOB.

PRAGMA journal_mode = WAL;

CREATE TABLE bulk_action_jobs (
    -- The job's UUID (RFC 9562), lower case: requests may use any case.
    job_id TEXT NOT NULL PRIMARY KEY CONSTRAINT "job_id is a lower-case UUID" CHECK (
        length(CAST(job_id AS BLOB)) = 36
        AND job_id GLOB '????????-????-????-????-????????????'
        AND length(replace(job_id, '-', '')) = 32
        AND job_id NOT GLOB '*[^0-9a-f-]*'
    ),

    -- What selects the clients: JSON, as text.
    criteria_json TEXT NOT NULL,

    -- What is done to each client: block, deny, throttle, monitor, allow, cleanup, or another word.
    action_type TEXT NOT NULL,

    -- For how long, in seconds.
    action_duration INTEGER NOT NULL,

    -- Why, in the operator's words.
    action_reason TEXT NOT NULL,

    -- When the job is due to start.
    scheduled_at TEXT NOT NULL CONSTRAINT "scheduled_at is an RFC 3339 date-time" CHECK (
        scheduled_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(scheduled_at, 1, 10), '+0 days') IS substr(scheduled_at, 1, 10)
        AND time(substr(scheduled_at, 12, 5), '+0 days') IS substr(scheduled_at, 12, 5) || ':00'
        AND substr(scheduled_at, 18, 2) <= '60'
        AND scheduled_at NOT GLOB '*.[^0-9]*' AND scheduled_at NOT GLOB '*.*.*'
        AND (ltrim(substr(scheduled_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(scheduled_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]'
             AND substr(scheduled_at, -5, 2) <= '23')
        AND length(CAST(scheduled_at AS BLOB)) = length(scheduled_at)
    ),

    -- When its execution started; NULL until then.
    executed_at TEXT CONSTRAINT "executed_at is an RFC 3339 date-time or NULL" CHECK (
        executed_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(executed_at, 1, 10), '+0 days') IS substr(executed_at, 1, 10)
        AND time(substr(executed_at, 12, 5), '+0 days') IS substr(executed_at, 12, 5) || ':00'
        AND substr(executed_at, 18, 2) <= '60'
        AND executed_at NOT GLOB '*.[^0-9]*' AND executed_at NOT GLOB '*.*.*'
        AND (ltrim(substr(executed_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(executed_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]'
             AND substr(executed_at, -5, 2) <= '23')
        AND length(CAST(executed_at AS BLOB)) = length(executed_at)
    ),

    -- When its execution ended, whatever the outcome; NULL until then.
    completed_at TEXT CONSTRAINT "completed_at is an RFC 3339 date-time or NULL" CHECK (
        completed_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(completed_at, 1, 10), '+0 days') IS substr(completed_at, 1, 10)
        AND time(substr(completed_at, 12, 5), '+0 days') IS substr(completed_at, 12, 5) || ':00'
        AND substr(completed_at, 18, 2) <= '60'
        AND completed_at NOT GLOB '*.[^0-9]*' AND completed_at NOT GLOB '*.*.*'
        AND (ltrim(substr(completed_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(completed_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]'
             AND substr(completed_at, -5, 2) <= '23')
        AND length(CAST(completed_at AS BLOB)) = length(completed_at)
    ),

    -- The most clients that the job may act on.
    max_limit INTEGER NOT NULL,

    -- How many clients the criteria selected when the job was made.
    preview_count INTEGER NOT NULL,

    -- How many clients the job has acted on so far.
    affected_count INTEGER NOT NULL,

    -- scheduled, running, completed, failed, cancelled, or another word.
    status TEXT NOT NULL,

    -- How far the execution is, in percent.
    progress_percent INTEGER NOT NULL,

    -- Who made the job.
    created_by TEXT NOT NULL,

    -- When the job was made.
    created_at TEXT NOT NULL CONSTRAINT "created_at is an RFC 3339 date-time" CHECK (
        created_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(created_at, 1, 10), '+0 days') IS substr(created_at, 1, 10)
        AND time(substr(created_at, 12, 5), '+0 days') IS substr(created_at, 12, 5) || ':00'
        AND substr(created_at, 18, 2) <= '60'
        AND created_at NOT GLOB '*.[^0-9]*' AND created_at NOT GLOB '*.*.*'
        AND (ltrim(substr(created_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(created_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]'
             AND substr(created_at, -5, 2) <= '23')
        AND length(CAST(created_at AS BLOB)) = length(created_at)
    ),

    -- When the row last changed.
    updated_at TEXT NOT NULL CONSTRAINT "updated_at is an RFC 3339 date-time" CHECK (
        updated_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(updated_at, 1, 10), '+0 days') IS substr(updated_at, 1, 10)
        AND time(substr(updated_at, 12, 5), '+0 days') IS substr(updated_at, 12, 5) || ':00'
        AND substr(updated_at, 18, 2) <= '60'
        AND updated_at NOT GLOB '*.[^0-9]*' AND updated_at NOT GLOB '*.*.*'
        AND (ltrim(substr(updated_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(updated_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]'
             AND substr(updated_at, -5, 2) <= '23')
        AND length(CAST(updated_at AS BLOB)) = length(updated_at)
    ),

    -- The row once more, written by SQLite itself: no producer writes here. The service serves a
    -- job only where the two agree, and so finds damage to it, as by a checksum.
    row_copy TEXT NOT NULL GENERATED ALWAYS AS (
        job_id || '|' || criteria_json || '|' || action_type || '|' || action_duration
        || '|' || action_reason || '|' || scheduled_at || '|' || ifnull(executed_at, '')
        || '|' || ifnull(completed_at, '') || '|' || max_limit || '|' || preview_count
        || '|' || affected_count || '|' || status || '|' || progress_percent
        || '|' || created_by || '|' || created_at || '|' || updated_at
    ) STORED
) STRICT;
