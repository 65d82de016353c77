-- Changes of instances' records that are not in their table yet: one row per commit, the changes
-- as a JSON list in their order. They are committed here because appending is quick, and moved to
-- the table in the order of its keys because that touches few pages.
CREATE TABLE journal (
    sequence INTEGER NOT NULL PRIMARY KEY,
    changes TEXT NOT NULL
);
