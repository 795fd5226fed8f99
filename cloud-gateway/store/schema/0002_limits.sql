-- Bandwidth limits of an org ('' as site and target), a site, a target, or a site's use of a target. Rates in bits
-- per second, 0: unlimited. One window a line, 'mon-fri 08:00-18:00 up 20 Mbit/s'.

CREATE TABLE limits (
  org TEXT NOT NULL REFERENCES orgs (name) ON DELETE CASCADE,
  site TEXT NOT NULL,
  target TEXT NOT NULL,
  up_bits_per_s BIGINT NOT NULL,
  down_bits_per_s BIGINT NOT NULL,
  windows TEXT NOT NULL,
  PRIMARY KEY (org, site, target)
);

-- The most lanes a session of the org may have; no row: what the gateway's configuration says.
CREATE TABLE lane_ceilings (
  org TEXT NOT NULL PRIMARY KEY REFERENCES orgs (name) ON DELETE CASCADE,
  lanes INTEGER NOT NULL
);
