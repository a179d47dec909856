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

/// Watching is left to the cases: a key that came and went is as it was, for us.
pub const GRAMMAR: &[&str] = &["MULTI", "MULTI", "EXEC", "EXEC", "DISCARD", "UNWATCH"];
