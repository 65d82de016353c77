-- Records are JSON; what is looked up by is beside it.
CREATE TABLE desired_lrps (
    process_guid TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE actual_lrps (
    process_guid TEXT NOT NULL,
    instance_index INTEGER NOT NULL,
    presence INTEGER NOT NULL, -- 0 ordinary, 1 evacuating, 2 suspect
    record TEXT NOT NULL,
    PRIMARY KEY (process_guid, instance_index, presence)
) WITHOUT ROWID;

CREATE TABLE tasks (
    task_guid TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE domains (
    domain TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER -- nanoseconds since the Unix epoch; NULL is never
) WITHOUT ROWID;

-- Apart from everything that is listed or told.
CREATE TABLE registry_credentials (
    registry TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    password TEXT NOT NULL
) WITHOUT ROWID;
