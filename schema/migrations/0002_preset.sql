-- The preset that a job was made from; NULL: none.

ALTER TABLE jobs ADD COLUMN preset TEXT;
