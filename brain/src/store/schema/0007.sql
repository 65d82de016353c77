-- Certificates for hosts of people's own, their keys sealed with a key that is not in this file. Those
-- of `custom_domains` are moved here when the store is opened.
CREATE TABLE sealed_domains (
    host TEXT NOT NULL PRIMARY KEY,
    certificate TEXT NOT NULL,
    sealed_key BLOB NOT NULL
) WITHOUT ROWID;

-- Who we are to each authority, sealed as well. Those of `acme_accounts` are moved here.
CREATE TABLE sealed_accounts (
    directory TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) WITHOUT ROWID;
