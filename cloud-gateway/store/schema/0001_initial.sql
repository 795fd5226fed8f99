-- The first schema. Portable between SQLite and PostgreSQL: natural keys, times as seconds since 1970 in UTC,
-- hashes as lower-case hexadecimal. Statements end with a semicolon at the end of a line and hold none elsewhere.

CREATE TABLE orgs (
  name TEXT NOT NULL PRIMARY KEY,
  created_at BIGINT NOT NULL
);

CREATE TABLE targets (
  org TEXT NOT NULL REFERENCES orgs (name) ON DELETE CASCADE,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  port INTEGER NOT NULL,
  -- 1: the administrator wrote a loopback, private or link-local address (or localhost) literally.
  address_permitted INTEGER NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (org, name)
);

CREATE TABLE sites (
  org TEXT NOT NULL REFERENCES orgs (name) ON DELETE CASCADE,
  name TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (org, name)
);

CREATE TABLE site_certificates (
  serial TEXT NOT NULL PRIMARY KEY,
  org TEXT NOT NULL,
  site TEXT NOT NULL,
  spki_sha256 TEXT NOT NULL,
  issued_at BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  revoked_at BIGINT,
  FOREIGN KEY (org, site) REFERENCES sites (org, name) ON DELETE CASCADE
);
CREATE INDEX site_certificates_by_site ON site_certificates (org, site);

CREATE TABLE joining_tokens (
  secret_sha256 TEXT NOT NULL PRIMARY KEY,
  org TEXT NOT NULL,
  site TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  -- Set by the enrolment that used the secret, so that a lost reply can be asked for again.
  used_spki_sha256 TEXT,
  certificate_serial TEXT,
  certificate_pem TEXT,
  FOREIGN KEY (org, site) REFERENCES sites (org, name) ON DELETE CASCADE
);
CREATE INDEX joining_tokens_by_site ON joining_tokens (org, site);

CREATE TABLE forwards (
  org TEXT NOT NULL,
  site TEXT NOT NULL,
  name TEXT NOT NULL,
  port INTEGER NOT NULL,
  state TEXT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (org, site, name),
  FOREIGN KEY (org, site) REFERENCES sites (org, name) ON DELETE CASCADE
);

-- Each row carries the hash of the one before it: a changed or missing row shows.
CREATE TABLE audit (
  seq BIGINT NOT NULL PRIMARY KEY,
  time BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL,
  prev_hash TEXT NOT NULL,
  hash TEXT NOT NULL
);

-- One row: the newest entry, so that cutting off the end shows too.
CREATE TABLE audit_head (
  seq BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_head (seq, hash) VALUES (0, '');
