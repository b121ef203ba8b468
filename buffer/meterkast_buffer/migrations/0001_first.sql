-- Columns crc that no statement names are written by triggers of the connection: row_sums.py.

-- Devices and their values. AUTOINCREMENT: an id is never used again, also after a row is gone.
CREATE TABLE products (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    identity TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL,
    medium   TEXT NOT NULL,
    maker    TEXT NOT NULL,
    model    TEXT NOT NULL,
    serial   TEXT NOT NULL,
    type     TEXT NOT NULL
) STRICT;

CREATE TABLE properties (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    product_id  INTEGER NOT NULL REFERENCES products (id),
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    datatype    INTEGER NOT NULL,
    unit        TEXT NOT NULL,
    decimals    INTEGER NOT NULL,
    reference   TEXT NOT NULL,
    fresh_ms    INTEGER NOT NULL,
    late_ms     INTEGER NOT NULL,
    sending     INTEGER NOT NULL,
    receiving   INTEGER NOT NULL,
    aggregation TEXT,
    emptyings   INTEGER NOT NULL,
    rolls_at    INTEGER,
    UNIQUE (product_id, key)
) STRICT;

-- A node goes with its device; its product, and all that was measured, stays.
CREATE TABLE nodes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    identity     TEXT NOT NULL UNIQUE,
    protocol     TEXT NOT NULL,
    product_id   INTEGER REFERENCES products (id),
    zwave_id     INTEGER,
    status       INTEGER NOT NULL,
    serial       TEXT NOT NULL,
    version      TEXT NOT NULL,
    security     TEXT NOT NULL,
    last_seen_ms INTEGER
) STRICT;

CREATE TABLE property_mappings (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id       INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    property_id   INTEGER NOT NULL REFERENCES properties (id),
    channel       INTEGER NOT NULL,
    command_class INTEGER NOT NULL,
    parameter     TEXT NOT NULL,
    UNIQUE (node_id, property_id)
) STRICT;

-- From when on a product could be reached or not; one row a change.
CREATE TABLE availabilities (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    product_id INTEGER NOT NULL REFERENCES products (id),
    status     TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    crc        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX availabilities_product ON availabilities (product_id);

CREATE TABLE installation_messages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    product_id INTEGER REFERENCES products (id),
    status     TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    detail     TEXT NOT NULL,
    crc        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Values on their way to devices. node_id is no reference: the row outlives its node.
CREATE TABLE pending_data (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id       INTEGER NOT NULL,
    property_id   INTEGER NOT NULL REFERENCES properties (id),
    channel       INTEGER NOT NULL,
    command_class INTEGER NOT NULL,
    parameter     TEXT NOT NULL,
    value         TEXT NOT NULL,
    status        TEXT NOT NULL,
    at_ms         INTEGER NOT NULL,
    eta_ms        INTEGER,
    detail        TEXT NOT NULL,
    crc           INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX pending_data_open ON pending_data (id) WHERE status IN ('wakeup', 'sending');

-- Which columns a block's tables have: property (4 bytes) and decimals (2 bytes) each, little-endian.
CREATE TABLE layouts (
    id      INTEGER PRIMARY KEY,
    columns BLOB NOT NULL UNIQUE
) STRICT;

-- One row a minute. The id is the UTC in ms at which the block was kept (one more than the last id where
-- the clock stepped back), so searching by time needs no index: an index would cost a page a minute.
CREATE TABLE blocks (
    id       INTEGER PRIMARY KEY,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    data     BLOB NOT NULL
) STRICT;

-- The few blocks whose samples were measured more than two hours from their id.
CREATE TABLE strays (
    block_id INTEGER PRIMARY KEY REFERENCES blocks (id) ON DELETE CASCADE,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL
) STRICT;

-- Boots of the machine: first_ms, last_ms and learned_ms in time since its start; offset_ms makes UTC of that.
-- number orders them: ids are random.
CREATE TABLE boots (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    first_ms   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    offset_ms  INTEGER,
    trust      TEXT NOT NULL,
    sources    TEXT NOT NULL,
    learned_ms INTEGER,
    rtc_good   INTEGER NOT NULL,
    crc        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Blocks of a boot whose time is not known yet; their times are time since its start. Moved to blocks when
-- it is learned. In each table a column of property 0 holds the device's own time (untimed.py).
CREATE TABLE untimed (
    id      INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,
    last_ms INTEGER NOT NULL,
    crc     INTEGER NOT NULL DEFAULT 0,
    data    BLOB NOT NULL
) STRICT;

-- Boots that ended before they learned the time; registers as in episodes.py.
CREATE TABLE episodes (
    boot_id     TEXT PRIMARY KEY,
    after_ms    INTEGER,
    before_ms   INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    readings    INTEGER NOT NULL,
    registers   TEXT NOT NULL,
    crc         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The key makes each closing append at the end of one B-tree: two or three pages, whatever the number of
-- properties. state and cause: half_hours.py. taken_before_ms = end_ms - taken. crc: HalfHour.crc() - 2^31.
CREATE TABLE half_hours (
    length_ms        INTEGER NOT NULL,
    end_ms           INTEGER NOT NULL,
    property_id      INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    whole            INTEGER,
    decimals         INTEGER,
    taken_before_ms  INTEGER,
    count            INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    cause            TEXT,
    epoch            INTEGER NOT NULL,
    before_emptyings TEXT,
    crc              INTEGER NOT NULL,
    PRIMARY KEY (length_ms, end_ms, property_id, revision)
) STRICT, WITHOUT ROWID;

-- What devices sent behind the readings that closed registers: one row a closing; evidence.py says how it is
-- packed. The id is the UTC in ms at which it was kept, as in `blocks`; first_ms and last_ms are the readings'.
CREATE TABLE evidence (
    id       INTEGER PRIMARY KEY,
    first_ms INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    data     BLOB NOT NULL
) STRICT;

-- One row a day; see model/seal.py.
CREATE TABLE seals (
    number   INTEGER PRIMARY KEY,
    day      TEXT NOT NULL,
    after_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    rows     INTEGER NOT NULL,
    digest   TEXT NOT NULL,
    crc      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Half-hours that were made after their day was sealed, and the later seal they went into; 0 while they wait.
CREATE TABLE amendments (
    end_ms      INTEGER NOT NULL,
    property_id INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    seal        INTEGER NOT NULL,
    crc         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (end_ms, property_id, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX amendments_seal ON amendments (seal);

CREATE TABLE closed (
    property_id INTEGER NOT NULL,
    length_ms   INTEGER NOT NULL,
    end_ms      INTEGER NOT NULL,
    PRIMARY KEY (property_id, length_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    uplink       TEXT NOT NULL,
    name         TEXT NOT NULL,
    composed_ms  INTEGER,
    delivered_ms INTEGER,
    redo_from_ms INTEGER, -- after a salvage lost items: from here to redo_ms they are composed anew at start
    redo_ms      INTEGER,
    UNIQUE (uplink, name)
) STRICT;

-- state: 0 pending, 1 delivered, 2 quarantined. crc: outbox.py, over all that does not change with each try.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    stream_id    INTEGER NOT NULL REFERENCES streams (id),
    at_ms        INTEGER NOT NULL,
    payload      BLOB NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0,
    tries        INTEGER NOT NULL DEFAULT 0,
    sent_ms      INTEGER,
    delivered_ms INTEGER,
    words        TEXT NOT NULL DEFAULT '',
    receipt      TEXT NOT NULL DEFAULT '',
    crc          INTEGER NOT NULL
) STRICT;

-- Ten years of delivered rows must not slow down the question "what is next?".
CREATE INDEX outbox_pending ON outbox (stream_id, id) WHERE state = 0;
CREATE INDEX outbox_quarantined ON outbox (stream_id, id) WHERE state = 2;

-- The ledger asks by interval. With the time first every closing appends at the end of this B-tree, one page
-- for all streams together; with the stream first it would be a page for each.
CREATE INDEX outbox_interval ON outbox (at_ms, stream_id);

-- What each platform is owed, from when to when; see model/channel.py. properties: ids joined by commas.
CREATE TABLE channels (
    uplink     TEXT NOT NULL,
    stream     TEXT NOT NULL,
    name       TEXT NOT NULL,
    from_ms    INTEGER NOT NULL,
    until_ms   INTEGER,
    length_ms  INTEGER NOT NULL,
    properties TEXT NOT NULL,
    PRIMARY KEY (uplink, stream, name, from_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE state (
    scope TEXT NOT NULL,
    key   TEXT NOT NULL,
    text  TEXT NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

-- Epochs of registers: where differences count, and what continues the counter across a break.
-- Numbers are whole numbers × 10^-decimals; see model/epoch.py.
CREATE TABLE epochs (
    property_id  INTEGER NOT NULL REFERENCES properties (id),
    number       INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    first_digits INTEGER NOT NULL,
    last         INTEGER,
    last_digits  INTEGER,
    last_ms      INTEGER,
    offset       INTEGER NOT NULL,
    offset_digits INTEGER NOT NULL,
    predecessor  INTEGER REFERENCES properties (id),
    signed_by    TEXT NOT NULL,
    PRIMARY KEY (property_id, number)
) STRICT, WITHOUT ROWID;

-- Which port shows a meter, whose place it took (signed_ms empty: not signed off), when it was retired.
CREATE TABLE lives (
    product_id INTEGER PRIMARY KEY REFERENCES products (id),
    source     TEXT NOT NULL,
    replaces   INTEGER REFERENCES products (id),
    sure       INTEGER NOT NULL,
    signed_ms  INTEGER,
    retired_ms INTEGER
) STRICT;

-- What was damaged once, what became of it, and which half-hours cannot be vouched for. The last three are
-- empty where it is not about one interval; length and end where it is about several properties.
CREATE TABLE doubts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    detail      TEXT NOT NULL,
    property_id INTEGER,
    length_ms   INTEGER,
    end_ms      INTEGER
) STRICT;

-- A CRC of each small table as a whole, and how often it changed; sealed.py.
CREATE TABLE sums (
    name    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    crc     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Not a sum: the number by which the second copy knows this database.
INSERT INTO sums VALUES ('journal', 0, random());
