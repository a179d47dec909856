//! Publish and subscribe, and what is told of changes of keys.

pub const CASES: &[(&str, &str)] = &[
    (
        "subscribed, told, no longer",
        r#"
        SUBSCRIBE a b a
        PSUBSCRIBE a* z?
        SSUBSCRIBE a
        2> PUBLISH a "two words"
        1/2> @read
        2> PUBLISH ab x
        1/1> @read
        2> PUBLISH none x
        2> PUBLISH b ""
        1/1> @read
        2> SPUBLISH a x
        1/1> @read
        2> SPUBLISH b x
        2> PUBSUB CHANNELS
        2> PUBSUB CHANNELS a*
        2> PUBSUB CHANNELS a b
        2> PUBSUB NUMSUB
        2> PUBSUB NUMSUB a b c
        2> PUBSUB NUMPAT
        2> PUBSUB SHARDCHANNELS
        2> PUBSUB SHARDCHANNELS b*
        2> PUBSUB SHARDNUMSUB a b
        UNSUBSCRIBE b none
        PUNSUBSCRIBE z?
        PUNSUBSCRIBE
        SUNSUBSCRIBE
        SUNSUBSCRIBE
        UNSUBSCRIBE
        UNSUBSCRIBE
        PUNSUBSCRIBE
        GET none
        "#,
    ),
    (
        "what a subscribed connection may do",
        r#"
        SUBSCRIBE a
        GET none
        NOSUCH
        GET
        CLIENT ID
        CLIENT NOPE
        MULTI
        PUBLISH b x
        PING
        PING x
        PING x y
        RESET
        GET none
        SSUBSCRIBE a
        GET none
        SUNSUBSCRIBE a
        GET none
        SUBSCRIBE
        PSUBSCRIBE
        PUBLISH a
        PUBSUB
        PUBSUB NOPE
        PUBSUB NUMPAT x
        PUBSUB HELP
        SUBSCRIBE a
        1> QUIT
        "#,
    ),
    (
        "in a transaction",
        r#"
        MULTI
        1/1> SUBSCRIBE a b
        PUBLISH none x
        1/2> EXEC
        2> PUBLISH a x
        1/1> @read
        2> MULTI
        2> PUBLISH a 1
        2> PUBLISH b 2
        2> EXEC
        1/2> @read
        "#,
    ),
    (
        "a connection that went is forgotten",
        r#"
        SUBSCRIBE a
        2> PSUBSCRIBE *
        QUIT
        2> PUNSUBSCRIBE
        2> PUBLISH a x
        2> PUBSUB NUMPAT
        "#,
    ),
    (
        "changes of strings",
        r#"
        CONFIG SET notify-keyspace-events KEA
        2> PSUBSCRIBE __key*
        SET a 1
        2/2> @read
        SET a 1 EX 100
        2/4> @read
        SET a 1 NX
        SETEX a 100 1
        2/4> @read
        SETNX b 1
        2/2> @read
        GETSET b 2
        2/2> @read
        GETEX b EX 100
        2/2> @read
        GETEX b PERSIST
        2/2> @read
        GETDEL b
        2/2> @read
        MSET a 1 b 2
        2/4> @read
        MSETNX c 1 d 2
        2/4> @read
        INCR a
        2/2> @read
        DECRBY a 5
        2/2> @read
        INCRBYFLOAT a 1.5
        2/2> @read
        APPEND a x
        2/2> @read
        SETRANGE a 2 y
        2/2> @read
        CONFIG SET notify-keyspace-events ""
        SET a 1
        "#,
    ),
    (
        "changes of keys",
        r#"
        CONFIG SET notify-keyspace-events KEA
        2> PSUBSCRIBE __key*
        MSET a 1 b 2 c 3
        2/6> @read
        DEL a none
        2/2> @read
        UNLINK b
        2/2> @read
        EXPIRE c 100
        2/2> @read
        PERSIST c
        2/2> @read
        PERSIST c
        EXPIREAT c 4102444800
        2/2> @read
        RENAME c d
        2/4> @read
        COPY d e
        2/2> @read
        EXPIRE d -1
        2/2> @read
        GETEX e EXAT 1
        2/2> @read
        CONFIG SET notify-keyspace-events ""
        "#,
    ),
    (
        "as the flags say",
        r#"
        CONFIG SET notify-keyspace-events Kg
        2> PSUBSCRIBE *
        SET a 1
        DEL a
        2/1> @read
        CONFIG SET notify-keyspace-events E$
        SET a 1
        2/1> @read
        DEL a
        CONFIG SET notify-keyspace-events A
        SET a 1
        CONFIG SET notify-keyspace-events ""
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    "PUBLISH {key} {value}",
    "SPUBLISH {key} {value}",
    "PUBSUB (NUMPAT|NUMSUB [{key}]*|CHANNELS [{pattern}])",
    "PUBSUB (SHARDNUMSUB [{key}]*|SHARDCHANNELS [{pattern}])",
];
