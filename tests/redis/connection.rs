//! Commands about the connection itself, and what is no command.

pub const CASES: &[(&str, &str)] = &[
    (
        "who is there",
        r#"
        PING
        ping "a b"
        PING a b
        ECHO hello
        ECHO
        NOSUCH "a b" c
        "GET"
        @raw "PING\r\n"
        @raw "\r\nPING\r\n"
        @raw "ECHO \"a\\x00b\"\r\n"
        "#,
    ),
    (
        "pipelined and in pieces",
        r#"
        1/3> @raw "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\nPING\r\n"
        1/0> @raw "*2\r\n$4\r\nEC"
        2> PING
        1/1> @raw "HO\r\n$1\r\nx\r\n"
        "#,
    ),
    (
        "what is no request ends the connection",
        r#"
        1/2> @raw "*1\r\n+PING\r\n"
        2/2> @raw "*x\r\n"
        3/2> @raw "*1\r\n$-5\r\n"
        4/2> @raw "ECHO \"a\r\n"
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    "PING [{value}]",
    "ECHO {value}",
    "SELECT (0|0|1|{int})",
    "NOSUCH [{value}]*",
];
