-- Pictures that were sent, and what a network said of them. The newest are kept.
CREATE TABLE explanations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT NOT NULL UNIQUE, -- SHA-256 of all that it was made from
    job        INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    about      TEXT NOT NULL,    -- JSON object
    height     INTEGER NOT NULL, -- of the picture as the network saw it
    width      INTEGER NOT NULL,
    pixels     BLOB NOT NULL,    -- [height, width, 3]
    map_height INTEGER NOT NULL,
    map_width  INTEGER NOT NULL,
    map        BLOB NOT NULL,    -- float32 [map_height, map_width]
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX explanations_job ON explanations (job);
