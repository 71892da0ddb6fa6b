-- Where the time of a job's training steps went, as its newest attempt measured it.

CREATE TABLE profiles (
    job     INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    profile TEXT NOT NULL -- JSON object
) STRICT;
