-- Hosts whose certificates an authority is asked for. The certificate is beside them, once it came.
CREATE TABLE enrolments (
    host TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;

-- Who we are to each authority, with the key that proves it. Apart from everything that is told.
CREATE TABLE acme_accounts (
    directory TEXT NOT NULL PRIMARY KEY,
    credentials TEXT NOT NULL
) WITHOUT ROWID;
