-- Users and passwords for registries, sealed with a key that is not in this file. Those of
-- `registry_credentials` are moved here when the store is opened.
CREATE TABLE sealed_credentials (
    registry TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) WITHOUT ROWID;
