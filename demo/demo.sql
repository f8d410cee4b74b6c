-- The demo: jobs that live by the clock. Nothing writes to them: each read of the view computes
-- them as they are now. To make a lab of your own (SQLite 3.37 or later), to stop its clock (NULL
-- lets it go on), and to add a job that starts in ten seconds and takes a minute:
--     sqlite3 lab.db < demo/demo.sql
--     sqlite3 lab.db "UPDATE clock SET now = 1779000000"
--     sqlite3 lab.db "INSERT INTO plans (job_id) VALUES ('0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a')"
BEGIN;
-- One row: NULL for the real time, else the moment at which all jobs are shown, in UNIX seconds.
CREATE TABLE IF NOT EXISTS clock (now INTEGER CHECK (now BETWEEN 0 AND 9999999999)) STRICT;
CREATE TABLE IF NOT EXISTS tokens ( -- the same as in schema.sql
    name TEXT NOT NULL PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE CONSTRAINT "sha256 is 64 lower-case hexadecimal digits" CHECK (
        length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
    expires_at TEXT CONSTRAINT "expires_at is YYYY-MM-DDTHH:MM:SSZ or NULL" CHECK (expires_at
        GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z')
) STRICT;
CREATE TABLE IF NOT EXISTS plans ( -- one row a job. Only its id must be given
    job_id TEXT NOT NULL PRIMARY KEY CONSTRAINT "job_id is a lower-case UUID" CHECK (
        job_id GLOB '????????-????-????-????-????????????' AND job_id NOT GLOB '*[^0-9a-f-]*'),
    begins INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), -- UNIX seconds. Before, there is no job
    every INTEGER CHECK (every > 0), -- seconds until it begins again, as a new job; NULL: never
    created INTEGER NOT NULL DEFAULT 0, -- seconds from where it begins to created_at,
    scheduled INTEGER NOT NULL DEFAULT 10 CHECK (scheduled >= created), -- and to scheduled_at
    late INTEGER NOT NULL DEFAULT 0 CHECK (late >= 0), -- seconds from scheduled_at to executed_at
    takes INTEGER NOT NULL DEFAULT 60 CHECK (takes > 0), -- seconds from 0 to 100 percent
    reaches INTEGER NOT NULL DEFAULT 100 CHECK (reaches BETWEEN 0 AND 100), -- percent; 0: never run
    ends_as TEXT NOT NULL DEFAULT 'completed' CHECK ((ends_as = 'completed') = (reaches = 100)),
    fraction TEXT NOT NULL DEFAULT '' CHECK (fraction = '' OR fraction GLOB '.[0-9]*'), -- both of
    zone TEXT NOT NULL DEFAULT '+00:00' CHECK (zone GLOB '[+-][01][0-9]:[0-5][0-9]'), -- all times
    not_a_time TEXT, -- stands in scheduled_at, in a job that is to be broken
    action_type TEXT NOT NULL DEFAULT 'block', action_duration INTEGER NOT NULL DEFAULT 3600,
    max_limit INTEGER NOT NULL DEFAULT 500 CHECK (max_limit >= 0),
    preview_count INTEGER NOT NULL DEFAULT 137 CHECK (preview_count >= 0),
    created_by TEXT NOT NULL DEFAULT 'lab', action_reason TEXT NOT NULL DEFAULT 'To try it',
    criteria_json TEXT NOT NULL DEFAULT '{"protocol": "dhcpv4", "min_request_count": 500}'
) STRICT;
CREATE VIEW IF NOT EXISTS bulk_action_jobs AS WITH -- seconds are counted in integers: + 0 makes one of a text
time AS MATERIALIZED (SELECT coalesce((SELECT now FROM clock), strftime('%s', 'now') + 0) AS now),
cycle AS ( -- the last time it began: the division gives a whole number
    SELECT *, begins + coalesce((now - begins) / every * every, 0) AS began FROM plans, time),
execution AS (SELECT *, began + scheduled + late AS start FROM cycle WHERE began + created <= now),
progress AS (
    SELECT *, max(0, min(reaches, (now - start) * 100 / takes)) AS percent FROM execution),
change AS ( -- the last one: it was created, or reached its percent (at the next whole second)
    SELECT *, iif(now < start, began + created, start + (percent * takes + 99) / 100) AS updated,
    '%Y-%m-%dT%H:%M:%S' || fraction || replace(zone, '+00:00', 'Z') AS rfc3339 FROM progress)
SELECT job_id, criteria_json, action_type, action_duration, action_reason,
    coalesce(not_a_time, strftime(rfc3339, began + scheduled, 'unixepoch', zone)) AS scheduled_at,
    CASE WHEN now >= start AND reaches > 0
        THEN strftime(rfc3339, start, 'unixepoch', zone) END AS executed_at,
    CASE WHEN percent > 0 AND percent = reaches
        THEN strftime(rfc3339, updated, 'unixepoch', zone) END AS completed_at,
    max_limit, preview_count, min(max_limit, preview_count) * percent / 100 AS affected_count,
    CASE WHEN now < start THEN 'scheduled' WHEN percent < reaches THEN 'running' ELSE ends_as END
        AS status, percent AS progress_percent, created_by,
    strftime(rfc3339, began + created, 'unixepoch', zone) AS created_at,
    strftime(rfc3339, updated, 'unixepoch', zone) AS updated_at
FROM change;
-- The public token is demo-token. To remove it from a lab of your own: flask tokens revoke demo
INSERT INTO tokens SELECT 'demo', '7c43ef5ae21d43ce2743f770c68e24def1a43ee2f416d2438410c8af7af2ff2c', NULL
    FROM sqlite_schema WHERE type = 'view' AND name = 'bulk_action_jobs' -- not to real jobs,
    AND NOT EXISTS (SELECT * FROM clock); -- and not again: a second run puts back plans alone
INSERT INTO clock SELECT NULL WHERE NOT EXISTS (SELECT * FROM clock);
INSERT OR IGNORE INTO plans
(job_id, begins, every, created, scheduled, late, takes, reaches, ends_as, fraction, zone,
 action_type, action_duration, max_limit, preview_count, created_by, action_reason, criteria_json) VALUES
('11111111-1111-4111-8111-111111111111', 0, 3600, -10908, -10800, 2, 95, 100, 'completed', '.184467441', '+00:00',
 'block', 3600, 500, 137, 'noc-oncall', 'DHCPDISCOVER flood from the student residence, building C',
 '{"protocol": "dhcpv4", "message_type": "discover", "relay": "10.20.0.1", "min_request_count": 500, "lookback_interval": "15m"}'),
('22222222-2222-4222-8222-222222222222', 2822, 5400, -1037, -2, 2, 6000, 100, 'completed', '', '+00:00', -- never gets there
 'throttle', 7200, 2000, 1850, 'm.okafor', 'Firmware 3.1.4 of the ACME CPE renews its lease every 5 seconds',
 '{"protocol": "dhcpv4", "vendor_class": "ACME-CPE-3.1.4", "min_request_count": 60, "lookback_interval": "1h"}'),
('33333333-3333-4333-8333-333333333333', 0, 3600, -86400, 3900, 0, 300, 100, 'completed', '', '+02:00',
 'cleanup', 0, 5000, 3120, 'change-calendar', 'Starved pool: drop expired leases once 10.40.0.0/16 is renumbered (CHG-20871)',
 '{"protocol": "dhcpv4", "pool": "10.40.0.0/16", "lease_state": "expired", "lookback_interval": "30d"}'),
('44444444-4444-4444-8444-444444444444', 0, 3600, -46289, -46200, 1, 150, 32, 'failed', '', '+00:00',
 'deny', 86400, 1000, 640, 'noc-oncall', 'Rogue relay 192.0.2.66 answers for the voice VLAN',
 '{"protocol": "dhcpv4", "relay": "192.0.2.66", "message_type": "offer", "lookback_interval": "5m"}'),
('55555555-5555-4555-8555-555555555555', 0, 3600, -94731, -93600, 5, 60, 0, 'cancelled', '', '+00:00',
 'monitor', 1800, 300, 84, 'j.lindqvist', 'DHCPv6 SOLICIT storm after the power cut in Halle 4: watch before acting',
 '{"protocol": "dhcpv6", "duid_type": "LLT", "min_request_count": 200, "lookback_interval": "10m"}'),
('66666666-6666-4666-8666-666666666666', 0, 3600, -137525, -136800, 1, 270, 50, 'cancelled', '', '+00:00',
 'allow', 604800, 1000, 900, 'm.okafor', 'Card readers blocked by mistake: let them back in',
 '{"protocol": "dhcpv4", "vendor_oui": "00:00:5e", "min_request_count": 20, "lookback_interval": "24h"}');
INSERT OR IGNORE INTO plans (job_id, begins, every, created, scheduled, takes, reaches, ends_as, not_a_time, action_reason) VALUES
('77777777-7777-4777-8777-777777777777', 0, 60, 0, 10, 30, 100, 'completed', NULL, 'Runs each minute and completes'),
('88888888-8888-4888-8888-888888888888', 0, 60, 0, 10, 50, 60, 'failed', NULL, 'Runs each minute and fails at 60 percent'),
('99999999-9999-4999-8999-999999999999', 0, 3600, -900, 3900, 60, 100, 'completed', '2026-02-30T08:00:00Z',
 'Broken on purpose: its scheduled_at is a day that does not exist');
COMMIT;
