-- The demo's jobs, one in each state and one that breaks the contract. They agree with themselves:
-- affected_count is progress_percent of the clients to act on, and times are in order.

BEGIN;
INSERT INTO bulk_action_jobs VALUES (
    '11111111-1111-4111-8111-111111111111',
    '{"protocol": "dhcpv4", "message_type": "discover", "relay": "10.20.0.1", "min_request_count": 500, "lookback_interval": "15m"}',
    'block', 3600, 'DHCPDISCOVER flood from the student residence, building C',
    '2026-05-16T08:00:00Z', '2026-05-16T08:00:02.184467441Z', '2026-05-16T08:01:37.550161602Z',
    500, 137, 137, 'completed', 100, 'noc-oncall',
    '2026-05-16T07:58:12.904215013Z', '2026-05-16T08:01:37.550161602Z'
), (
    '22222222-2222-4222-8222-222222222222',
    '{"protocol": "dhcpv4", "vendor_class": "ACME-CPE-3.1.4", "min_request_count": 60, "lookback_interval": "1h"}',
    'throttle', 7200, 'Firmware 3.1.4 of the ACME CPE renews its lease every 5 seconds',
    '2026-05-16T09:30:00Z', '2026-05-16T09:30:01.000731904Z', NULL,
    2000, 1850, 777, 'running', 42, 'm.okafor',
    '2026-05-16T09:12:45.310877206Z', '2026-05-16T09:33:20.418860317Z'
), (
    '33333333-3333-4333-8333-333333333333',
    '{"protocol": "dhcpv4", "pool": "10.40.0.0/16", "lease_state": "expired", "lookback_interval": "30d"}',
    'cleanup', 0, 'Starved pool: drop expired leases once 10.40.0.0/16 is renumbered (CHG-20871)',
    '2030-01-06T02:00:00+01:00', NULL, NULL,
    5000, 3120, 0, 'scheduled', 0, 'change-calendar',
    '2026-05-16T10:05:00+02:00', '2026-05-16T10:05:00+02:00'
), (
    '44444444-4444-4444-8444-444444444444',
    '{"protocol": "dhcpv4", "relay": "192.0.2.66", "message_type": "offer", "lookback_interval": "5m"}',
    'deny', 86400, 'Rogue relay 192.0.2.66 answers for the voice VLAN',
    '2026-05-15T22:10:00Z', '2026-05-15T22:10:00.871220358Z', '2026-05-15T22:10:48.002914775Z',
    1000, 640, 208, 'failed', 32, 'noc-oncall',
    '2026-05-15T22:08:31.660148929Z', '2026-05-15T22:10:48.002914775Z'
), (
    '55555555-5555-4555-8555-555555555555',
    '{"protocol": "dhcpv6", "duid_type": "LLT", "min_request_count": 200, "lookback_interval": "10m"}',
    'monitor', 1800, 'DHCPv6 SOLICIT storm after the power cut in Halle 4: watch before acting',
    '2026-05-14T18:00:00Z', NULL, NULL,
    300, 84, 0, 'cancelled', 0, 'j.lindqvist',
    '2026-05-14T17:41:09.233590064Z', '2026-05-14T17:55:27.108442931Z'
), (
    '66666666-6666-4666-8666-666666666666',
    '{"protocol": "dhcpv4", "vendor_oui": "00:00:5e", "min_request_count": 20, "lookback_interval": "24h"}',
    'allow', 604800, 'Card readers blocked by mistake on 13 May: let them back in',
    '2026-05-14T06:00:00Z', '2026-05-14T06:00:00.413308117Z', '2026-05-14T06:02:15.790045228Z',
    1000, 900, 450, 'cancelled', 50, 'm.okafor',
    '2026-05-14T05:47:55.019263340Z', '2026-05-14T06:02:15.790045228Z'
);

-- An exporter's bug: a date-time without its T and its offset. The table's CHECK would refuse it.
PRAGMA ignore_check_constraints = ON;
INSERT INTO bulk_action_jobs VALUES (
    '99999999-9999-4999-8999-999999999999',
    '{"protocol": "dhcpv4", "relay": "10.20.0.1", "min_request_count": 500, "lookback_interval": "15m"}',
    'block', 3600, 'Broken on purpose: its scheduled_at is no RFC 3339 date-time',
    '2026-05-16 08:00:00', NULL, NULL,
    500, 137, 0, 'scheduled', 0, 'exporter',
    '2026-05-16T07:58:12Z', '2026-05-16T07:58:12Z'
);
COMMIT;
