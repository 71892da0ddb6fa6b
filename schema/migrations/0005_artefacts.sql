-- What jobs leave besides checkpoints.

-- Files below the data directory, by name: "maps/train".
CREATE TABLE artefacts (
    job        INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    path       TEXT NOT NULL, -- below the data directory
    sha256     TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;

-- The architecture's weights at each epoch's end, which outlive the epoch's checkpoint.
CREATE TABLE alphas (
    job     INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    epoch   INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    weights TEXT NOT NULL, -- JSON object
    PRIMARY KEY (job, epoch)
) STRICT, WITHOUT ROWID;
