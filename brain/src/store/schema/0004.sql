-- Certificates for hosts of people's own. Apart from everything that is listed or told.
CREATE TABLE custom_domains (
    host TEXT NOT NULL PRIMARY KEY,
    certificate TEXT NOT NULL,
    key TEXT NOT NULL
) WITHOUT ROWID;
