-- Cells that give away all they run.
CREATE TABLE draining_cells (
    cell_id TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;
