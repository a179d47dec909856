//! What clients ask before they trust a server.

pub const CASES: &[(&str, &str)] = &[
    (
        "greetings",
        r#"
        HELLO
        HELLO 2
        GET none
        HELLO 3
        GET none
        HELLO
        HELLO 1
        HELLO 9
        HELLO x
        HELLO 2 FOO
        HELLO 2 AUTH default
        HELLO 2 AUTH other password
        GET none
        HELLO 2 AUTH default password SETNAME me
        CLIENT GETNAME
        HELLO 2 SETNAME "with space"
        HELLO 2 SETNAME
        hello 3 setname you auth default x
        CLIENT GETNAME
        AUTH password
        AUTH default password
        AUTH other password
        AUTH default password x
        AUTH
        RESET
        CLIENT GETNAME
        GET none
        RESET x
        "#,
    ),
    (
        "clients",
        r#"
        CLIENT
        CLIENT NOPE
        CLIENT ID
        CLIENT ID x
        CLIENT GETNAME
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT SETNAME "with space"
        CLIENT SETNAME "line\nend"
        CLIENT SETNAME "\xff"
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT LIST TYPE nope
        CLIENT LIST TYPE master
        CLIENT LIST ID x
        CLIENT LIST ID 0
        CLIENT LIST NOPE
        CLIENT LIST ID
        CLIENT GETREDIR
        CLIENT NO-EVICT on
        CLIENT NO-EVICT off
        CLIENT NO-EVICT nope
        CLIENT TRACKING off
        CLIENT REPLY nope
        CLIENT REPLY on
        "#,
    ),
    (
        "clients that are sent away",
        r#"
        CLIENT KILL
        CLIENT KILL 127.0.0.1:1
        CLIENT KILL ID
        CLIENT KILL ID 0
        CLIENT KILL ID -1
        CLIENT KILL ID x
        CLIENT KILL ID 99999999
        CLIENT KILL ID 9223372036854775808
        CLIENT KILL TYPE
        CLIENT KILL TYPE nope
        CLIENT KILL TYPE "no\x00pe"
        CLIENT KILL TYPE master
        CLIENT KILL TYPE master TYPE nope
        CLIENT KILL USER nope
        CLIENT KILL USER default ID 99999999
        CLIENT KILL SKIPME
        CLIENT KILL SKIPME maybe
        CLIENT KILL SKIPME yes ID 99999999
        CLIENT KILL FOO 1
        CLIENT KILL ID 0 FOO
        CLIENT KILL MAXAGE 1 FOO
        CLIENT KILL ADDR 127.0.0.1:1
        CLIENT KILL LADDR 127.0.0.1:1 TYPE replica
        2> SUBSCRIBE a
        3> SSUBSCRIBE a
        CLIENT KILL TYPE pubsub
        2/1> @read
        3/1> @read
        PUBLISH a x
        CLIENT KILL TYPE pubsub
        4> CLIENT KILL TYPE normal ADDR nowhere SKIPME no
        "#,
    ),
    (
        "replies that are not wanted",
        r#"
        1/0> CLIENT REPLY SKIP
        1/0> PING
        PING
        1/0> CLIENT REPLY OFF
        1/0> PING
        1/0> NOSUCH
        1/0> GET
        1/1> SUBSCRIBE a
        2> PUBLISH a x
        1/1> @read
        1/1> UNSUBSCRIBE
        1/0> CLIENT REPLY SKIP
        1/1> CLIENT REPLY ON
        PING
        "#,
    ),
    (
        "settings",
        r#"
        CONFIG
        CONFIG NOPE
        CONFIG GET
        CONFIG GET save
        CONFIG GET SAVE
        CONFIG GET appendonly
        CONFIG GET [a]ppendonly
        CONFIG GET maxmemory
        CONFIG GET maxmemory-polic?
        CONFIG GET nosuch
        CONFIG GET notify-keyspace-events nosuch
        CONFIG SET
        CONFIG SET save
        CONFIG SET nosuch x
        CONFIG SET databases 3
        CONFIG SET notify-keyspace-events
        CONFIG SET notify-keyspace-events Kq
        CONFIG SET notify-keyspace-events K notify-keyspace-events E
        CONFIG SET notify-keyspace-events K nosuch x
        CONFIG SET notify-keyspace-events K databases 3
        CONFIG GET notify-keyspace-events
        CONFIG SET notify-keyspace-events KEA
        CONFIG GET notify-keyspace-events
        CONFIG SET Notify-Keyspace-Events mgE$lx
        CONFIG GET notify-keyspace-events
        CONFIG SET notify-keyspace-events ndKtezhsl
        CONFIG GET notify-keyspace-events
        CONFIG SET notify-keyspace-events ""
        CONFIG GET notify-keyspace-events
        CONFIG RESETSTAT
        CONFIG RESETSTAT x
        "#,
    ),
    (
        "commands",
        r#"
        COMMAND NOPE
        COMMAND COUNT x
        COMMAND GETKEYS
        COMMAND GETKEYS get
        COMMAND GETKEYS get a
        COMMAND GETKEYS nosuch a
        COMMAND GETKEYS ping a
        COMMAND GETKEYS get a b
        COMMAND GETKEYS watch a b c
        COMMAND GETKEYS mset a 1 b 2
        COMMAND GETKEYS eval x 0
        COMMAND GETKEYS eval x 0 a
        COMMAND GETKEYS EVAL x 2 a b c
        COMMAND GETKEYS eval x 3 a b
        COMMAND GETKEYS eval x -1 a
        COMMAND GETKEYS eval x y a
        COMMAND GETKEYS eval x
        COMMAND GETKEYS evalsha x 1 a
        COMMAND GETKEYS eval_ro x 1 a b
        COMMAND GETKEYS evalsha_ro x 1 a
        COMMAND GETKEYS object encoding a
        COMMAND GETKEYS object nope a
        COMMAND GETKEYS object
        COMMAND GETKEYS memory usage a
        COMMAND GETKEYS copy a b
        COMMAND GETKEYS publish a b
        COMMAND GETKEYS del a b c
        COMMAND GETKEYS hset a b c
        COMMAND GETKEYS client id
        COMMAND GETKEYS "get\x00" a
        COMMAND INFO nosuch
        COMMAND LIST FILTERBY nope x
        COMMAND LIST nope
        COMMAND LIST FILTERBY PATTERN nosuch*
        "#,
    ),
    (
        "errors that repeat what was sent",
        r#"
        HELLO 2 "FO\x00O"
        HELLO 2 "\xff\r\n x"
        CLIENT "NO\x00PE"
        CLIENT LIST TYPE "no\x00pe"
        CLIENT LIST TYPE "\xff\xfe"
        CONFIG SET "no\x00such" x
        CONFIG SET "\xc3\x28" x
        CONFIG SET aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa x
        CONFIG aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        PUBSUB "a\x00b" c d
        PUBSUB CHANNELS "a\x00b" c
        OBJECT "EN\x00C" k
        SCRIPT "LO\xffAD" x
        EXPIRE k 1 "N\x00X"
        EXPIRE k 1 "\xff"
        SELECT "1\x00"
        "NO\x00SUCH" "a\x00b"
        "#,
    ),
    (
        "the rest",
        r#"
        WAIT 0 10
        WAIT x 0
        WAIT 0 x
        WAIT 0 -1
        WAIT 0
        READONLY
        READWRITE
        READONLY x
        INFO nosuch
        INFO cluster
        QUIT with more
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &["CONFIG GET save", "READONLY", "WAIT 0 0", "CLIENT GETNAME"];
