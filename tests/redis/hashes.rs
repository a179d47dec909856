//! Commands on hashes, and other commands on what is a hash.

pub const CASES: &[(&str, &str)] = &[
    (
        "fields are set, read and removed",
        r#"
        HSET h a
        HSET h a 1 b
        HSET h a 1 b 2 a 3
        HGETALL h
        HSET h b 9 c 4
        HGETALL h
        HKEYS h
        HVALS h
        HLEN h
        HLEN none
        HMSET h a 1 b
        HMSET h a 1 "" empty
        HGET h ""
        HGET h none
        HGET none a
        HMGET h a none "" a
        HMGET none a b
        HMGET h
        HEXISTS h a
        HEXISTS h none
        HEXISTS none a
        HSTRLEN h c
        HSTRLEN h none
        HSTRLEN h ""
        HSETNX h a 2
        HSETNX h d 2
        HDEL h none
        HDEL h a a c
        HGETALL h
        HDEL h "" b d
        EXISTS h
        HGETALL h
        HDEL h b
        "#,
    ),
    (
        "fields count",
        r#"
        HINCRBY h n 5
        HINCRBY h n -7
        HINCRBY h n x
        HINCRBY h n -9223372036854775807
        HSET h s " 1"
        HINCRBY h s 1
        HINCRBYFLOAT h f 1.5
        HINCRBYFLOAT h f 0.1
        HINCRBYFLOAT h f x
        HINCRBYFLOAT h f inf
        HINCRBYFLOAT h f nan
        HINCRBYFLOAT h n 1
        HGET h n
        HSET h i inf
        HINCRBYFLOAT h i -inf
        HINCRBYFLOAT h i 1
        HSET h s str
        HINCRBYFLOAT h s 1
        HINCRBYFLOAT h s x
        "#,
    ),
    (
        "a walk over the fields",
        r#"
        HSCAN none x
        HSCAN none 0 NO
        HSET h abc 1 b 2 "" 3
        HSCAN h 0
        HSCAN h 7
        HSCAN h -1
        HSCAN h +5
        HSCAN h ""
        HSCAN h " 1"
        HSCAN h x
        HSCAN h 18446744073709551616
        HSCAN h 0 MATCH a*
        HSCAN h 0 match * count 1
        HSCAN h 0 MATCH ?*
        HSCAN h 0 MATCH none
        HSCAN h 0 COUNT 0
        HSCAN h 0 COUNT x
        HSCAN h 0 COUNT
        HSCAN h 0 TYPE string
        HSCAN h 0 NOVALUES
        "#,
    ),
    (
        "fields at random",
        r#"
        HRANDFIELD none
        HRANDFIELD none 2
        HRANDFIELD none -2 WITHVALUES
        HRANDFIELD none x
        HSET h a 1
        HRANDFIELD h
        HRANDFIELD h 0
        HRANDFIELD h 5
        HRANDFIELD h -2
        HRANDFIELD h 5 WITHVALUES
        HRANDFIELD h -2 withvalues
        HRANDFIELD h 2 FOO
        HRANDFIELD h 2 WITHVALUES x
        HRANDFIELD h x
        HRANDFIELD h 9223372036854775807
        HRANDFIELD h -9223372036854775808
        HRANDFIELD h -9223372036854775807 WITHVALUES
        HRANDFIELD h 9223372036854775807 WITHVALUES
        HSET h b 2
        HRANDFIELD h 2 WITHVALUES
        HRANDFIELD h 9
        "#,
    ),
    (
        "a hash is no string and a string no hash",
        r#"
        SET s v
        HSET h a 1
        TYPE h
        HGET s a
        HSET s a 1
        HSET s a
        HMSET s a 1
        HSETNX s a 1
        HDEL s a
        HINCRBY s a 1
        HINCRBY s a x
        HINCRBYFLOAT s a 1
        HINCRBYFLOAT s a x
        HLEN s
        HMGET s a
        HGETALL s
        HSCAN s 0
        HSCAN s x
        HRANDFIELD s
        HRANDFIELD s 1
        GET h
        GETDEL h
        GETEX h EX 10
        GETSET h x
        GETRANGE h 0 1
        SETRANGE h 0 x
        APPEND h x
        STRLEN h
        INCR h
        INCRBYFLOAT h 1
        SET h x GET
        SETNX h x
        MGET h s
        SCAN 0 TYPE hash
        SCAN 0 TYPE string
        HGETALL h
        SET h x
        TYPE h
        HGET h a
        "#,
    ),
    (
        "a hash is a key like others",
        r#"
        HSET h a 1
        EXPIRE h 100
        HSET h b 2
        HINCRBY h a 1
        HDEL h b
        TTL h
        COPY h i
        HGETALL i
        RENAME i j
        TTL j
        HGETALL j
        MULTI
        HSET j c 3
        HGET j c
        HGET j
        EXEC
        OBJECT ENCODING h
        PERSIST h
        TTL h
        PEXPIRE h 1
        @settle h
        HGETALL h
        HSET h a 1
        TTL h
        DEL h j
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    "HSET {hash} {field} {value} [{field} {value}]* [{field}]",
    "HMSET {hash} {field} {value} [{field} {value}]*",
    "HSETNX {hash} {field} {value}",
    "(HGET|HEXISTS|HSTRLEN) {hash} {field}",
    "HMGET {hash} {field} [{field}]*",
    "(HGETALL|HKEYS|HVALS|HLEN) {hash}",
    "HDEL {hash} {field} [{field}]*",
    "HINCRBY {hash} {field} {int}",
    "HINCRBYFLOAT {hash} {field} {float}",
    "HSCAN {hash} 0 [MATCH {pattern}|COUNT {int}|TYPE string]*",
    "HRANDFIELD {hash} 100 [WITHVALUES]",
];
