//! Commands on keys of any kind, and about their deadlines.

pub const CASES: &[(&str, &str)] = &[
    (
        "removed and counted",
        r#"
        SET a 1
        SET b 2
        EXISTS a b a none
        TOUCH a b a none
        TYPE a
        TYPE none
        DEL a none a
        UNLINK b b
        EXISTS
        DEL
        "#,
    ),
    (
        "renamed, with its deadline",
        r#"
        RENAME none b
        RENAME none none
        RENAMENX none b
        SET a 1 PX 100000
        RENAME a a
        RENAMENX a a
        SET b 2 PX 500000
        RENAMENX a b
        RENAME a b
        GET b
        PTTL b
        EXISTS a
        SET c 3
        RENAME c b
        TTL b
        "#,
    ),
    (
        "copied, with its deadline",
        r#"
        COPY none b
        SET a 1 EX 100
        COPY a a
        COPY none none
        COPY a b
        TTL b
        COPY a b
        SET a 2
        COPY a b REPLACE
        GET b
        TTL b
        COPY a b DB
        COPY a b DB x
        COPY a b DB 99
        COPY a b DB -1
        COPY a b DB 99999999999
        COPY a b DB 0 replace REPLACE
        COPY a a DB 0
        COPY a b NX
        "#,
    ),
    (
        "deadlines move under conditions",
        r#"
        EXPIRE none 10
        SET a 1
        TTL a
        PTTL none
        EXPIRE a 100 GT
        EXPIRE a 100 XX
        EXPIRE a 100 LT
        EXPIRE a 200 NX
        EXPIRE a 50 GT
        EXPIRE a 200 GT
        EXPIRE a 50 LT XX
        TTL a
        EXPIRE a 10 NX GT
        EXPIRE a 10 GT LT
        EXPIRE a 10 XX NX
        EXPIRE a 10 FOO
        EXPIRE a x FOO
        EXPIRE a 9223372036854775807
        EXPIRE a 9223372036854775
        PEXPIRE a 9223372036854775807
        PEXPIRE a 9223372036854770000
        EXPIRE a -9223372036854775808
        EXPIRE a x
        EXPIREAT a 4102444800
        EXPIRETIME a
        PEXPIRETIME a
        PEXPIREAT a 4102444800500
        EXPIRETIME a
        PEXPIRETIME a
        PERSIST a
        PERSIST a
        PEXPIRETIME a
        EXPIRETIME none
        EXPIRE a -1
        EXISTS a
        SET a 1
        EXPIREAT a 1
        GET a
        SET a 1
        PEXPIRE a 1
        @settle a
        PERSIST a
        TTL a
        "#,
    ),
    (
        "listed",
        r#"
        RANDOMKEY
        KEYS *
        DBSIZE
        SCAN 0
        MSET a 1 b 2 ab 3 "a[" 4 "" 5
        DBSIZE
        RANDOMKEY
        KEYS *
        KEYS a*
        KEYS [ab]
        KEYS ""
        KEYS a\\[
        KEYS none
        @scan
        @scan COUNT 1
        @scan MATCH a* COUNT 2
        @scan TYPE string
        @scan TYPE STRING MATCH *
        @scan TYPE hash
        @scan TYPE foo
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 COUNT
        SCAN 0 FOO 1
        SCAN x
        SCAN x COUNT 0
        SCAN 18446744073709551616
        SCAN " 1"
        SCAN "" COUNT 1000
        SCAN +0 COUNT 1000
        SCAN
        SCAN 0 COUNT 1000 COUNT 2000 MATCH b
        SET a 1 PXAT 1
        DBSIZE
        "#,
    ),
    (
        "looked at",
        r#"
        OBJECT ENCODING none
        OBJECT FREQ none
        OBJECT IDLETIME none
        OBJECT REFCOUNT none
        MEMORY USAGE none
        MSET i 123 s abc l 123456789012345678901234567890123456789012345
        OBJECT ENCODING i
        OBJECT ENCODING s
        object encoding l
        OBJECT FREQ s
        OBJECT IDLETIME s
        OBJECT REFCOUNT s
        MEMORY USAGE s
        MEMORY USAGE s SAMPLES 0
        MEMORY USAGE s SAMPLES -1
        MEMORY USAGE s SAMPLES x
        MEMORY USAGE s SAMPLES
        MEMORY USAGE s FOO 1
        MEMORY USAGE
        OBJECT
        OBJECT HELP
        OBJECT FOO s
        OBJECT ENCODING
        OBJECT ENCODING a b
        MEMORY
        MEMORY FOO
        TIME
        TIME 1
        "#,
    ),
    (
        "databases are apart",
        r#"
        SET a 0 EX 100
        SELECT 1
        GET a
        SET b 1
        2> EXISTS b
        COPY b b
        COPY b b DB 0
        2> COPY a c DB 1
        2> COPY a b DB 1
        2> COPY a b DB 1 REPLACE
        TTL b
        KEYS *
        DBSIZE
        COPY b x DB 15
        COPY b x DB 16
        SELECT 15
        KEYS *
        RANDOMKEY
        SELECT 16
        SELECT -1
        SELECT x
        FLUSHDB
        DBSIZE
        SELECT 1
        DBSIZE
        2> FLUSHALL
        DBSIZE
        "#,
    ),
    (
        "all are removed",
        r#"
        SET a 1
        FLUSHDB
        EXISTS a
        SET a 1
        FLUSHALL ASYNC
        GET a
        FLUSHDB sync
        FLUSHALL FOO
        FLUSHALL ASYNC SYNC
        FLUSHDB ASYNC ASYNC
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    "(DEL|UNLINK|EXISTS|TOUCH) {any} [{any}]*",
    "TYPE {any}",
    "(RENAME|RENAMENX) {any} {any}",
    "COPY {any} {any} [REPLACE] [DB 0|DB 1|DB {int}]",
    "(TTL|PTTL|EXPIRETIME|PEXPIRETIME|PERSIST) {any}",
    "(TTL|PTTL|EXPIRETIME|PEXPIRETIME|PERSIST) {any}",
    "(EXPIRE|PEXPIRE) {any} {time} [NX|XX|GT|LT]*",
    "EXPIREAT {any} {date} [NX|XX|GT|LT]",
    "PEXPIREAT {any} {ms-date} [NX|XX|GT|LT]",
    "(FLUSHDB|FLUSHALL) [ASYNC|SYNC|x]",
    "KEYS {pattern}",
    "SCAN 0 COUNT 1000 [MATCH {pattern}|TYPE string|TYPE hash|TYPE x]*",
    "RANDOMKEY",
    "OBJECT (FREQ|IDLETIME|REFCOUNT|HELP|NOSUCH) {any}",
];
