-- What searches find, and jobs in tables.

-- Every distinct genotype once, by its text as genotype_print() writes it.
CREATE TABLE genotypes (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    text        TEXT NOT NULL UNIQUE,
    created_ms  INTEGER NOT NULL,
    imported_ms INTEGER NOT NULL DEFAULT 0 -- when somebody sent it first; 0: nobody has
) STRICT;

-- Which job found it, at the end of which epoch. An epoch of a job has one genotype.
CREATE TABLE genotype_sources (
    job      INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    epoch    INTEGER NOT NULL,
    genotype INTEGER NOT NULL REFERENCES genotypes (id) ON DELETE CASCADE,
    PRIMARY KEY (job, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX genotype_sources_of ON genotype_sources (genotype, job, epoch);

-- What a job that trained its network came to.
CREATE TABLE genotype_scores (
    job          INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    genotype     INTEGER NOT NULL REFERENCES genotypes (id) ON DELETE CASCADE,
    accuracy     ANY NOT NULL, -- of the test images, after the last epoch; 'NaN': there are none
    val_accuracy ANY NOT NULL, -- the best of the validation images; 'NaN': there are none
    parameters   INTEGER NOT NULL,
    epochs       INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX genotype_scores_of ON genotype_scores (genotype, job);

-- A table of jobs: each row one set of parameters, each column one seed.
CREATE TABLE sweeps (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    preset     TEXT, -- that it was made from; NULL: none
    metric     TEXT NOT NULL,
    at         TEXT NOT NULL, -- 'last' or 'best'
    seeds      TEXT NOT NULL, -- JSON array
    cancelled  INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE sweep_rows (
    sweep    INTEGER NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL, -- from 0
    label    TEXT NOT NULL,
    settings TEXT NOT NULL, -- JSON object: pointer -> value
    PRIMARY KEY (sweep, number)
) STRICT, WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN sweep INTEGER REFERENCES sweeps (id);
ALTER TABLE jobs ADD COLUMN sweep_row INTEGER;
CREATE INDEX jobs_sweep ON jobs (sweep, sweep_row, id) WHERE sweep IS NOT NULL;

-- Answers to requests that carried an Idempotency-Key, written with the rows they speak of.
CREATE TABLE answers (
    path        TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_sha256 TEXT NOT NULL, -- of the request
    location    TEXT NOT NULL,
    answer      TEXT NOT NULL, -- JSON
    job         INTEGER REFERENCES jobs (id) ON DELETE CASCADE,
    sweep       INTEGER REFERENCES sweeps (id) ON DELETE CASCADE,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (path, key)
) STRICT, WITHOUT ROWID;
