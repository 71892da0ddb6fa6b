-- The first schema. Names, never indices, are stored; times are milliseconds since 1970.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('boot', 0); -- grows with every start

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    tags         TEXT NOT NULL, -- JSON array
    priority     INTEGER NOT NULL,
    seed         INTEGER NOT NULL,
    threads      INTEGER NOT NULL,
    params       TEXT NOT NULL, -- JSON object, every default filled in
    state        TEXT NOT NULL DEFAULT 'queued',
    desired      TEXT NOT NULL DEFAULT 'running',
    reason       TEXT,
    attempt      INTEGER NOT NULL DEFAULT 0,
    stalls       INTEGER NOT NULL DEFAULT 0, -- attempts in a row, this one included, without a new checkpoint
    version      INTEGER NOT NULL DEFAULT 1,
    boot         INTEGER NOT NULL DEFAULT 0, -- the start of the daemon that took it
    created_ms   INTEGER NOT NULL,
    started_ms   INTEGER NOT NULL DEFAULT 0,
    finished_ms  INTEGER NOT NULL DEFAULT 0,
    resumed_step INTEGER NOT NULL DEFAULT 0,
    epoch        INTEGER NOT NULL DEFAULT 0,
    epochs       INTEGER NOT NULL DEFAULT 0,
    step         INTEGER NOT NULL DEFAULT 0,
    steps        INTEGER NOT NULL DEFAULT 0,
    eta_seconds  REAL NOT NULL DEFAULT -1,
    result       TEXT,
    record       TEXT
) STRICT;
CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE state = 'queued';
CREATE INDEX jobs_state ON jobs (state, id);

-- One value a (job, key, step). NaN, for which SQLite has no number, is the text 'NaN'.
CREATE TABLE points (
    job     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    step    INTEGER NOT NULL,
    value   ANY NOT NULL,
    unix_ms INTEGER NOT NULL,
    PRIMARY KEY (job, key, step)
) STRICT, WITHOUT ROWID;

-- The newest of each, so that lists never touch the points.
CREATE TABLE latest (
    job     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    step    INTEGER NOT NULL,
    value   ANY NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    job        INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    step       INTEGER NOT NULL,
    epoch      INTEGER NOT NULL, -- epochs done
    partial    INTEGER NOT NULL DEFAULT 0, -- written by a drain in the middle of the next epoch
    path       TEXT NOT NULL, -- below the data directory
    sha256     TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    best       INTEGER NOT NULL DEFAULT 0,
    pinned     INTEGER NOT NULL DEFAULT 0,
    score      REAL, -- what "best" goes by; NULL: not measured
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (job, step)
) STRICT, WITHOUT ROWID;
