-- The jobs that the service serves: one row a job, one column a member, named as in the JSON.
--
--     sqlite3 jobs.db < schema.sql
--
-- is all that a producer needs (SQLite 3.37 or later, for STRICT). Then write rows from any
-- language: a commit is visible to the service on its next request. The service only reads.
--
-- Use WAL, set below and remembered by the file: readers and the writer do not block each other.
-- To replace the whole file, build the new one under another name in the same folder, close it
-- (which removes its -wal file), and rename it into place. A -wal file that the old one leaves
-- behind is not read, but would spoil the new one when somebody writes to it: remove it first.
--
-- Times are RFC 3339 date-times with an offset, as text, and are served exactly as stored:
-- 2026-05-16T08:00:00Z, 2026-05-16T10:00:00.123456789+02:00. The CHECKs hold their form; the
-- service checks the rest (offsets to +23:59, leap seconds at 23:59 UTC only) when it reads.

PRAGMA journal_mode = WAL;

CREATE TABLE bulk_action_jobs (
    -- The job's UUID (RFC 9562), lower case: requests may use any case.
    job_id TEXT NOT NULL PRIMARY KEY CONSTRAINT "job_id is a lower-case UUID" CHECK (
        length(job_id) = 36
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
        AND scheduled_at NOT GLOB '*.[^0-9]*' AND scheduled_at NOT GLOB '*.*.*'
        AND (ltrim(substr(scheduled_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(scheduled_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]')
    ),

    -- When its execution started; NULL until then.
    executed_at TEXT CONSTRAINT "executed_at is an RFC 3339 date-time or NULL" CHECK (
        executed_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(executed_at, 1, 10), '+0 days') IS substr(executed_at, 1, 10)
        AND time(substr(executed_at, 12, 5), '+0 days') IS substr(executed_at, 12, 5) || ':00'
        AND executed_at NOT GLOB '*.[^0-9]*' AND executed_at NOT GLOB '*.*.*'
        AND (ltrim(substr(executed_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(executed_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]')
    ),

    -- When its execution ended, whatever the outcome; NULL until then.
    completed_at TEXT CONSTRAINT "completed_at is an RFC 3339 date-time or NULL" CHECK (
        completed_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(completed_at, 1, 10), '+0 days') IS substr(completed_at, 1, 10)
        AND time(substr(completed_at, 12, 5), '+0 days') IS substr(completed_at, 12, 5) || ':00'
        AND completed_at NOT GLOB '*.[^0-9]*' AND completed_at NOT GLOB '*.*.*'
        AND (ltrim(substr(completed_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(completed_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]')
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
        AND created_at NOT GLOB '*.[^0-9]*' AND created_at NOT GLOB '*.*.*'
        AND (ltrim(substr(created_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(created_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]')
    ),

    -- When the row last changed.
    updated_at TEXT NOT NULL CONSTRAINT "updated_at is an RFC 3339 date-time" CHECK (
        updated_at GLOB '????-??-??[Tt]??:??:[0-6][0-9][.Zz+-]*'
        AND date(substr(updated_at, 1, 10), '+0 days') IS substr(updated_at, 1, 10)
        AND time(substr(updated_at, 12, 5), '+0 days') IS substr(updated_at, 12, 5) || ':00'
        AND updated_at NOT GLOB '*.[^0-9]*' AND updated_at NOT GLOB '*.*.*'
        AND (ltrim(substr(updated_at, 20), '.0123456789') IN ('Z', 'z')
             OR ltrim(substr(updated_at, 20), '.0123456789') GLOB '[+-][0-2][0-9]:[0-5][0-9]')
    )
) STRICT;
