-- The jobs that the service serves: one row a job, one column a member of the JSON.
--
--     sqlite3 jobs.db < schema.sql
--
-- makes the database (SQLite 3.37 or later). Then write rows from any language. The service only
-- reads, and sees a commit at its next request.
--
-- To replace all jobs, restore the new database into the live one, at any time. Mind the name: a
-- file that is missing empties the database. Both files must have the same PRAGMA page_size.
--
--     sqlite3 jobs.db '.restore new.db'
--
-- The next request sees a file renamed into place, too. But do it only while no jobs.db-wal lies
-- beside the old file, or while that is empty: SQLite would read it into the new file and spoil
-- it. Never copy over a live database (cp, truncate): its readers crash.
--
-- Times are RFC 3339 date-times with an offset, as text: 2026-05-16T08:00:00.123456789+02:00. They
-- are served as stored. The CHECKs catch the common mistakes; the service checks the rest when it
-- reads, and a row that breaks the contract is a 500.

PRAGMA journal_mode = WAL; -- readers and the writer do not block each other

CREATE TABLE bulk_action_jobs (
    job_id TEXT NOT NULL PRIMARY KEY -- a UUID, lower case; requests may use any case
        CONSTRAINT "job_id is a lower-case UUID" CHECK (
            job_id GLOB '????????-????-????-????-????????????' AND job_id NOT GLOB '*[^0-9a-f-]*'
        ),
    criteria_json TEXT NOT NULL, -- what selects the clients: JSON, as text
    action_type TEXT NOT NULL, -- block, deny, throttle, monitor, allow, cleanup, or another word
    action_duration INTEGER NOT NULL, -- seconds
    action_reason TEXT NOT NULL, -- in the operator's words
    scheduled_at TEXT NOT NULL -- when the job is due to start
        CONSTRAINT "scheduled_at is an RFC 3339 date-time" CHECK (
            scheduled_at GLOB '????-??-??[Tt]??:??:??*[Zz0-9]'
        ),
    executed_at TEXT -- when its execution started; NULL until then
        CONSTRAINT "executed_at is an RFC 3339 date-time or NULL" CHECK (
            executed_at GLOB '????-??-??[Tt]??:??:??*[Zz0-9]'
        ),
    completed_at TEXT -- when its execution ended, whatever the outcome; NULL until then
        CONSTRAINT "completed_at is an RFC 3339 date-time or NULL" CHECK (
            completed_at GLOB '????-??-??[Tt]??:??:??*[Zz0-9]'
        ),
    max_limit INTEGER NOT NULL, -- the most clients that the job may act on
    preview_count INTEGER NOT NULL, -- clients that the criteria selected when the job was made
    affected_count INTEGER NOT NULL, -- clients that the job has acted on so far
    status TEXT NOT NULL, -- scheduled, running, completed, failed, cancelled, or another word
    progress_percent INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL
        CONSTRAINT "created_at is an RFC 3339 date-time" CHECK (
            created_at GLOB '????-??-??[Tt]??:??:??*[Zz0-9]'
        ),
    updated_at TEXT NOT NULL -- when the row last changed
        CONSTRAINT "updated_at is an RFC 3339 date-time" CHECK (
            updated_at GLOB '????-??-??[Tt]??:??:??*[Zz0-9]'
        )
) STRICT;
