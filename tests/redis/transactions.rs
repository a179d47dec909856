//! Transactions.

pub const CASES: &[(&str, &str)] = &[
    (
        "queued, done, answered",
        r#"
        MULTI
        SET a 1
        INCR a
        2> GET a
        GET a
        SET a x NX XX
        HELLO 9
        PING "two words"
        EXEC
        GET a
        EXEC
        DISCARD
        MULTI
        EXEC
        MULTI
        SET a 5
        DISCARD
        GET a
        "#,
    ),
    (
        "errors inside do not undo",
        r#"
        SET a text
        MULTI
        SET b 1
        INCR a
        SET c 1
        EXEC
        MGET a b c
        "#,
    ),
    (
        "errors while queueing abort",
        r#"
        MULTI
        SET a 1
        NOSUCH "with args"
        SET a 2
        EXEC
        GET a
        MULTI
        GET
        PING
        EXEC
        MULTI
        CLIENT NOPE
        EXEC
        MULTI
        CLIENT ID extra
        EXEC
        MULTI
        EXEC extra
        EXEC
        EXEC extra
        MULTI extra
        MULTI
        DISCARD extra
        EXEC
        "#,
    ),
    (
        "what is not queued",
        r#"
        MULTI
        MULTI
        WATCH a
        PING
        UNWATCH
        EXEC
        MULTI
        SET a 1
        RESET
        EXEC
        GET a
        3> MULTI
        3> QUIT
        "#,
    ),
    (
        "a watched key that changed",
        r#"
        SET a 1
        WATCH a b
        2> SET a 1
        MULTI
        GET a
        EXEC
        MULTI
        GET a
        EXEC
        WATCH b
        2> SET b 1
        MULTI
        EXEC
        WATCH a
        SET a 2
        MULTI
        EXEC
        WATCH a
        2> DEL a
        MULTI
        EXEC
        WATCH b
        2> EXPIRE b 100
        MULTI
        EXEC
        WATCH b
        2> PERSIST b
        MULTI
        EXEC
        WATCH b
        2> FLUSHALL
        MULTI
        EXEC
        WATCH b b
        2> GET b
        2> DEL b
        MULTI
        EXEC
        WATCH
        "#,
    ),
    (
        "a watched key that came and went, or the other way round",
        r#"
        WATCH a
        2> SET a 1
        2> DEL a
        MULTI
        EXEC
        WATCH a
        2> DEL a
        2> GETDEL a
        2> EXPIRE a 100
        2> SET a 1 XX
        MULTI
        EXEC
        WATCH a b
        2> SET a 1 EX 100
        @lapse a
        MULTI
        EXEC
        WATCH a
        2> SET b 1
        2> RENAME b a
        2> RENAME a b
        MULTI
        EXEC
        WATCH a
        2> COPY b a
        2> DEL a
        MULTI
        EXEC
        WATCH a
        2> HSET a f v
        2> HDEL a f
        MULTI
        EXEC
        WATCH a
        2> MSETNX a 1 c 1
        2> UNLINK a c
        MULTI
        EXEC
        WATCH a
        SET a 1
        DEL a
        MULTI
        EXEC
        SET a 1
        WATCH a
        2> SET a 2
        2> SET a 1
        MULTI
        EXEC
        WATCH a
        2> DEL a
        2> SET a 1
        MULTI
        EXEC
        DEL a
        WATCH a
        UNWATCH
        2> SET a 1
        2> DEL a
        MULTI
        EXEC
        WATCH a
        3> WATCH a
        3> UNWATCH
        2> INCR a
        2> DEL a
        MULTI
        EXEC
        WATCH a
        4> WATCH a
        4> MULTI
        4> EXEC extra
        2> APPEND a x
        2> DEL a
        MULTI
        EXEC
        WATCH a
        5> WATCH a
        5> QUIT
        2> SETRANGE a 1 x
        2> DEL a
        MULTI
        EXEC
        WATCH a
        2> SETEX a 100 x
        2> EXPIRE a -1
        MULTI
        EXEC
        "#,
    ),
    (
        "watched keys of databases that are emptied",
        r#"
        WATCH a
        2> FLUSHALL
        MULTI
        EXEC
        WATCH a
        2> SET a 1
        2> FLUSHDB
        MULTI
        EXEC
        SET a 1
        WATCH a
        2> FLUSHDB
        2> SET a 1
        MULTI
        EXEC
        WATCH a
        2> SELECT 1
        2> SET a 1
        2> FLUSHDB
        MULTI
        EXEC
        WATCH a b
        2> SET b 1
        2> DEL b
        MULTI
        EXEC
        SELECT 1
        WATCH a
        SELECT 0
        2> FLUSHDB
        MULTI
        EXEC
        SELECT 1
        SET a 1
        WATCH a
        SELECT 0
        2> FLUSHDB
        MULTI
        EXEC
        SELECT 1
        WATCH a
        SELECT 2
        2> SET a 1
        2> FLUSHALL
        MULTI
        EXEC
        SELECT 2
        SET a 1
        WATCH a
        2> FLUSHALL ASYNC
        MULTI
        EXEC
        "#,
    ),
    (
        "a watched key that expired",
        r#"
        SET a 1 EX 100
        WATCH a
        @lapse a
        MULTI
        PING
        EXEC
        SET a 1
        @lapse a
        WATCH a
        MULTI
        PING
        EXEC
        "#,
    ),
    (
        "no longer watched",
        r#"
        WATCH a
        SET a 1
        UNWATCH
        MULTI
        PING
        EXEC
        WATCH a
        SET a 2
        MULTI
        DISCARD
        MULTI
        PING
        EXEC
        WATCH a
        SET a 3
        MULTI
        NOSUCH
        EXEC
        MULTI
        PING
        EXEC
        WATCH a
        SET a 4
        EXEC
        MULTI
        PING
        EXEC
        WATCH a
        SET a 5
        RESET
        MULTI
        PING
        EXEC
        "#,
    ),
    (
        "the protocol changes in between",
        r#"
        MULTI
        HELLO 3
        GET none
        HELLO 2
        GET none
        EXEC
        GET none
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "UNWATCH",
    "WATCH {any} [{any}]",
    "WATCH {any}",
];
