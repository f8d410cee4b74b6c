-- The jobs that the service serves, and the tokens of its clients.
--
--     sqlite3 jobs.db < schema.sql
--
-- makes the database (SQLite 3.37 or later), or adds to an older one the tables that it lacks. Then
-- write rows from any language: the service only reads, and sees a commit at its next request.
--
-- To replace all jobs and keep the tokens, while the service runs:
--
--     sqlite3 jobs.db "ATTACH 'new.db' AS new; BEGIN IMMEDIATE; DELETE FROM bulk_action_jobs;
--         INSERT INTO bulk_action_jobs SELECT * FROM new.bulk_action_jobs; COMMIT;"
--
-- To replace both, restore another database into the live one. Mind the name: a file that is missing
-- empties the database. Both files must have the same PRAGMA page_size.
--
--     sqlite3 jobs.db '.restore new.db'
--
-- To copy a live database, use `sqlite3 jobs.db '.backup copy.db'`: cp misses the commits that are
-- still in jobs.db-wal. Never copy over a live database (cp, truncate): its readers crash. A file
-- renamed into place counts with the next request, too, but only do so while no jobs.db-wal lies
-- beside the old file, or while that is empty: SQLite would read it into the new file and spoil it.

PRAGMA journal_mode = WAL; -- readers and the writer do not block each other

BEGIN IMMEDIATE;

-- Times are RFC 3339 date-times with an offset, as text: 2026-05-16T08:00:00.123456789+02:00. They
-- are served as stored. The CHECKs catch the common mistakes; the service checks the rest when it
-- reads, and a row that breaks the contract is a 500.
CREATE TABLE IF NOT EXISTS bulk_action_jobs (
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

CREATE TABLE IF NOT EXISTS tokens (
    name TEXT NOT NULL PRIMARY KEY, -- the client's, for the log
    sha256 TEXT NOT NULL UNIQUE -- of the token, which is not stored
        CONSTRAINT "sha256 is 64 lower-case hexadecimal digits" CHECK (
            length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'
        ),
    expires_at TEXT -- in UTC: 2026-05-16T08:00:00Z; NULL is never
        CONSTRAINT "expires_at is YYYY-MM-DDTHH:MM:SSZ or NULL" CHECK (
            expires_at GLOB
            '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z'
        )
) STRICT;

COMMIT;
