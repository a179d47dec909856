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
        COMMAND INFO nosuch
        COMMAND LIST FILTERBY nope x
        COMMAND LIST nope
        COMMAND LIST FILTERBY PATTERN nosuch*
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
