//! Commands on strings: whole, several at once, parts of them, and those that are numbers.

pub const CASES: &[(&str, &str)] = &[
    (
        "what is set is read",
        r#"
        GET k
        SET k v
        2> GET k
        SET k "" XX
        GET k
        SET k v NX
        SET k v NX GET
        SET other v NX GET
        SET k v XX NX
        SET k v EX 100 PX 100
        SET k v EX 0
        SET k v PX -1
        SET k v EXAT 1
        GET k
        SET k v PX 1
        @settle k
        GET k
        GET
        SET k
        "#,
    ),
    (
        "options of SET",
        r#"
        SET k 1 EX 100
        SET k 2 KEEPTTL
        TTL k
        SET k 3 GET
        TTL k
        SET k 4 PXAT 4102444800000
        EXPIRETIME k
        SET k 5 EX 100 EX 200
        TTL k
        SET k 6 EX 100 KEEPTTL
        SET k 6 NX NX
        SET k 6 GET GET XX
        SET k 6 PERSIST
        SET k 6 EX
        SET k 6 EX x
        SET k 6 EX 9223372036854775807
        SET k 6 PX 9223372036854775807
        SET k 6 EXAT 9223372036854775807
        SET k 6 FOO
        set k 7 xx px 100000 get
        PTTL k
        SET none 1 XX
        SET none 1 XX GET
        GET none
        "#,
    ),
    (
        "older ways to set",
        r#"
        SETEX k 100 v
        TTL k
        PSETEX k 100000 w
        PTTL k
        GETSET k x
        TTL k
        SETNX k y
        SETNX new y
        SETEX k 0 v
        SETEX k -1 v
        PSETEX k 0 v
        SETEX k x v
        SETEX k 9223372036854775807 v
        GETSET none v
        GETDEL none
        GETDEL k
        EXISTS k
        SETEX k 100
        "#,
    ),
    (
        "read and give a deadline",
        r#"
        GETEX none EX 0
        GETEX none
        SET k v
        GETEX k EX 100
        TTL k
        GETEX k
        TTL k
        GETEX k PERSIST
        TTL k
        GETEX k PXAT 4102444800000
        EXPIRETIME k
        GETEX k EX 0
        GETEX k KEEPTTL
        GETEX k EX 1 PERSIST
        GETEX k FOO
        GETEX k NX
        GETEX k EX
        GETEX k PERSIST PERSIST
        GETEX k EXAT 1
        EXISTS k
        "#,
    ),
    (
        "several at once",
        r#"
        MSET a 1 b 2 a 3
        MGET a b none a
        MSETNX c 1 a 2
        EXISTS c
        MSETNX c 1 d 2 c 3
        MGET c d
        MSET a
        MSET a 1 b
        MSETNX a 1 b
        SET a 1 EX 100
        MSET a 2
        TTL a
        MGET
        "#,
    ),
    (
        "parts of strings",
        r#"
        APPEND k ""
        EXISTS k
        APPEND k "Hello "
        APPEND k World
        STRLEN k
        STRLEN none
        GETRANGE k 0 4
        GETRANGE k -5 -1
        SUBSTR k 0 -1
        GETRANGE k 5 3
        GETRANGE k -1 -5
        GETRANGE k -100 -50
        GETRANGE none 0 -1
        GETRANGE k x 1
        GETRANGE none 0 y
        SETRANGE k 6 Redis
        GET k
        SETRANGE k 13 "!"
        GET k
        SETRANGE k 3 ""
        SETRANGE none 3 ""
        EXISTS none
        SETRANGE new 3 x
        GET new
        SETRANGE k -1 x
        SETRANGE k 536870912 x
        SETRANGE k 9223372036854775807 x
        SETRANGE none 9223372036854775807 ""
        SETRANGE k x y
        EXPIRE k 100
        APPEND k x
        SETRANGE k 0 J
        TTL k
        "#,
    ),
    (
        "counters",
        r#"
        INCR n
        INCRBY n 10
        DECR n
        DECRBY n 3
        GET n
        INCRBY n -3
        DECRBY n -9223372036854775808
        SET n 9223372036854775807
        INCR n
        INCRBY n 1
        INCRBY n -9223372036854775808
        DECRBY n 9223372036854775807
        SET n -9223372036854775808
        DECR n
        GET n
        INCRBY n x
        INCRBY n 01
        SET n " 5"
        INCR n
        SET n ""
        INCR n
        SET n 1.5
        INCR n
        SET n 5 EX 100
        INCR n
        TTL n
        "#,
    ),
    (
        "floats",
        r#"
        INCRBYFLOAT f 0.1
        INCRBYFLOAT f 0.2
        INCRBYFLOAT f 5.0e3
        INCRBYFLOAT f -5000.3
        INCRBYFLOAT f x
        INCRBYFLOAT f nan
        INCRBYFLOAT f inf
        INCRBYFLOAT f ""
        SET f abc
        INCRBYFLOAT f 1
        INCRBYFLOAT f x
        SET f 3 EX 100
        INCRBYFLOAT f 1.5
        TTL f
        GET f
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    "(GET|GETDEL|STRLEN) {key}",
    "GET {any}",
    "SET {key} {value}",
    "SET {any} {value}",
    "SET {key} {value} [NX|XX|GET|KEEPTTL|EX {time}|PX {time}|EXAT {date}|PXAT {ms-date}]*",
    "(SETEX|PSETEX) {any} {time} {value}",
    "(SETNX|GETSET|APPEND) {any} {value}",
    "GETEX {any} [EX {time}|PX {time}|EXAT {date}|PXAT {ms-date}|PERSIST]",
    "GETEX {any} [EX {time}|PERSIST|KEEPTTL|NX]*",
    "MGET {any} [{any}]*",
    "(MSET|MSETNX) {any} {value} [{key} {value}]* [{key}]",
    "(GETRANGE|SUBSTR) {any} {small} {small}",
    "SETRANGE {any} {small} {value}",
    "(INCR|DECR) {any}",
    "(INCRBY|DECRBY) {any} {int}",
    "INCRBYFLOAT {any} {float}",
];
