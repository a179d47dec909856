//! Scripts that are known, every way through each.

pub const CASES: &[(&str, &str)] = &[
    (
        "texts are loaded, found and forgotten",
        r#"
        SCRIPT FLUSH
        EVALSHA sha:increment 1 k 5
        EVAL lua:increment 1 k 5
        EVALSHA sha:increment 1 k 5
        SCRIPT LOAD lua:compare-delete
        SCRIPT EXISTS sha:compare-delete sha:increment sha:laravel-add no
        SCRIPT EXISTS
        SCRIPT FLUSH ASYNC
        SCRIPT FLUSH SYNC
        SCRIPT FLUSH now
        SCRIPT FLUSH SYNC SYNC
        SCRIPT EXISTS sha:compare-delete
        SCRIPT LOAD
        SCRIPT KILL
        SCRIPT
        SCRIPT NO
        EVALSHA no 0
        EVALSHA no x
        EVALSHA sha:increment 2 k
        EVALSHA_RO sha:increment 1 k
        EVAL lua:increment
        EVAL lua:increment x
        EVAL lua:increment -1
        EVAL lua:increment 1
        EVAL lua:increment 2 k
        EVALSHA sha:increment 9223372036854775807 k
        "#,
    ),
    (
        "errors have the place of the script",
        r#"
        EVAL lua:increment 0
        EVAL lua:increment 1 k
        EVAL lua:increment 1 k x
        HSET h a 1
        EVAL lua:increment 1 h 1
        EVAL lua:redis-py-extend 1 h token 5 0
        SET k token
        EVAL lua:redis-py-extend 1 k token x 1
        EVAL lua:redlock-acquire 2 a b token x
        EXISTS a b
        EVAL lua:aiocache-compare-set 1 k new token NO x
        EVAL "\n\nreturn  redis.call ( \"INCRBY\",\n KEYS[1],ARGV[1] )" 1 h 1
        EVAL_RO lua:increment 1 k 1
        EVAL_RO lua:rate-limit-redis-get 1 k
        EVALSHA_RO sha:rate-limit-redis-get 1 none
        EVAL_RO lua:compare-delete 1 k other
        EVAL_RO lua:compare-delete 1 k token
        GET k
        "#,
    ),
    (
        "in a transaction",
        r#"
        MULTI
        EVAL lua:increment 1 k 5
        EVAL lua:increment 1
        EVALSHA 0000000000000000000000000000000000000000 1 k
        SCRIPT EXISTS sha:increment
        EXEC
        GET k
        WATCH k
        2> EVAL lua:increment 1 k 5
        MULTI
        GET k
        EXEC
        "#,
    ),
    (
        "what they change is told",
        r#"
        CONFIG SET notify-keyspace-events KEA
        2/1> PSUBSCRIBE __key*@*
        EVAL lua:increment-expire 1 k 100
        2/4> @read
        EVAL lua:aspnet-hset 1 h 1 2 100 data
        2/4> @read
        HDEL h absexp sldexp data
        2/4> @read
        HINCRBY h n 1
        2/2> @read
        HINCRBYFLOAT h n 1.5
        2/2> @read
        HDEL h none
        HSETNX h n 1
        EVAL lua:compare-delete 1 k 1
        2/2> @read
        CONFIG SET notify-keyspace-events ""
        "#,
    ),
    (
        "compare and delete, compare and expire",
        r#"
        EVAL lua:compare-delete 1 k a
        EVAL lua:compare-delete 1 k
        SET k a
        EVAL lua:compare-delete 1 k b
        EVAL lua:compare-delete 1 k a
        EXISTS k
        SET k a
        EVAL lua:compare-delete-end 1 k b
        EVAL lua:compare-delete-end 1 k a
        EVAL lua:compare-expire 1 k a 100
        SET k a
        EVAL lua:compare-expire 1 k b 100
        EVAL lua:compare-expire 1 k a 100
        TTL k
        EVAL lua:compare-expire-end 1 k a 200
        EVAL lua:compare-pexpire 1 k a 300000
        TTL k
        EVAL lua:compare-pexpire-end 1 k b 400000
        EVAL lua:compare-pexpire-end 1 k a 400000
        TTL k
        EVAL lua:compare-pexpire-end 1 k a 0
        EXISTS k
        EVAL lua:redsync-delete 1 k a
        SET k a
        EVAL lua:redsync-delete 1 k b
        EVAL lua:redsync-delete 1 k a
        "#,
    ),
    (
        "the lock of redis-py",
        r#"
        EVAL lua:redis-py-release 1 k a
        EVAL lua:redis-py-extend 1 k a 5000 0
        EVAL lua:redis-py-reacquire 1 k a 5000
        SET k a
        EVAL lua:redis-py-extend 1 k b 5000 0
        EVAL lua:redis-py-extend 1 k a 5000 0
        TTL k
        PEXPIRE k 100000
        EVAL lua:redis-py-extend 1 k a 50000 0
        TTL k
        EVAL lua:redis-py-extend 1 k a 60000 1
        TTL k
        EVAL lua:redis-py-reacquire 1 k b 200000
        EVAL lua:redis-py-reacquire 1 k a 200000
        TTL k
        EVAL lua:redis-py-release 1 k b
        EVAL lua:redis-py-release 1 k a
        EXISTS k
        "#,
    ),
    (
        "redlock",
        r#"
        EVAL lua:redlock-acquire 2 a b token 100000
        EVAL lua:redlock-acquire 2 c b token 100000
        EXISTS c
        TTL b
        EVAL lua:redlock-extend 2 a b other 200000
        EVAL lua:redlock-extend 3 a b c token 200000
        EVAL lua:redlock-extend 2 a b token 200000
        TTL a
        EVAL lua:redlock-release 3 a b c other
        SET b other
        HSET h f 1
        EVAL lua:redlock-release 3 a b c token
        EXISTS a b
        EVAL lua:redlock-release 1 h token
        EVAL lua:redlock-acquire 0 token 1000
        EVAL lua:redlock-release 0
        "#,
    ),
    (
        "the locks of Laravel and Spring",
        r#"
        EVAL lua:laravel-refresh 1 k a 100
        SET k a
        EVAL lua:laravel-refresh 1 k a 100
        TTL k
        EVAL lua:laravel-refresh 1 k a 0
        TTL k
        EVAL lua:laravel-refresh 1 k b 100
        DEL k
        EVAL lua:spring-obtain 1 k a 100000
        TTL k
        EVAL lua:spring-obtain 1 k a 200000
        TTL k
        EVAL lua:spring-obtain 1 k b 100000
        EVAL lua:spring-renew 1 k b 300000
        EVAL lua:spring-renew 1 k a 300000
        TTL k
        EVAL lua:spring-del 1 k b
        EVAL lua:spring-del 1 k a
        EVAL lua:spring-unlink 1 k a
        SET k a
        EVAL lua:spring-unlink 1 k a
        EXISTS k
        2/1> SUBSCRIBE told
        EVAL lua:spring-del-publish 1 k a told
        SET k a
        EVAL lua:spring-del-publish 1 k b told
        EVAL lua:spring-del-publish 1 k a told
        2/1> @read
        SET k a
        EVAL lua:spring-unlink-publish 1 k a told
        2/1> @read
        EVAL "local c = redis.call('GET', KEYS[1])\nif (c == ARGV[1] and redis.call('UNLINK', KEYS[1]) == 1) then\nredis.call('PUBLISH', ARGV[2], KEYS[1])\nreturn true\nend\nreturn false\n" 1 k a told
        "#,
    ),
    (
        "the locks of aioredlock, pottery and python-redis-lock",
        r#"
        EVAL lua:aioredlock-ttl 1 k a
        EVAL lua:aioredlock-unset 1 k a
        EVAL lua:aioredlock-set 1 k a 100000
        EVAL lua:aioredlock-set 1 k a 200000
        EVAL lua:aioredlock-set 1 k b 200000
        TTL k
        EVAL lua:aioredlock-ttl 1 k a
        EVAL lua:aioredlock-ttl 1 k b
        EVAL lua:pottery-acquired 1 k a
        EVAL lua:pottery-acquired 1 k b
        EVAL lua:python-redis-lock-extend 1 k b 100
        EVAL lua:python-redis-lock-extend 1 k a 100
        TTL k
        EVAL lua:aioredlock-unset 1 k b
        EVAL lua:aioredlock-unset 1 k a
        SET k a
        EVAL lua:pottery-acquired 1 k a
        EVAL lua:python-redis-lock-extend 1 k a 100
        "#,
    ),
    (
        "increment and expire",
        r#"
        EVAL lua:increment-expire 1 k 100
        EVAL lua:increment-expire 1 k 200
        TTL k
        EVAL lua:increment-expire-tonumber 1 l 100
        EVAL lua:increment-expire-tonumber 1 l 200
        TTL l
        EVAL lua:increment-pexpire 1 m 100000
        EVAL lua:increment-pexpire 1 m 200000
        TTL m
        EVAL lua:increment-pexpire-tonumber 1 n 100000
        EVAL lua:increment-pexpire-tonumber 1 n 0
        TTL n
        "#,
    ),
    (
        "rate-limit-redis and rate-limiter-flexible",
        r#"
        EVAL lua:rate-limit-redis-get 1 k
        EVAL lua:rate-limit-redis-increment 1 k 100000
        EVAL lua:rate-limit-redis-increment 1 k 100000
        EVAL lua:rate-limit-redis-get 1 k
        EVAL lua:rate-limit-redis-4-increment 1 k 1 200000
        TTL k
        EVAL lua:rate-limit-redis-4-increment 1 k 0 300000
        TTL k
        EVAL lua:rate-limit-redis-4-increment 1 new 0 300000
        PERSIST k
        EVAL lua:rate-limit-redis-increment 1 k 100000
        EVAL lua:rate-limiter-flexible 1 f 1 100
        EVAL lua:rate-limiter-flexible 1 f 5 200
        TTL f
        PERSIST f
        EVAL lua:rate-limiter-flexible 1 f -2 300
        TTL f
        "#,
    ),
    (
        "redis-semaphore",
        r#"
        EVAL lua:redis-semaphore-refresh 1 k a 100000
        EVAL lua:redis-semaphore-release 1 k a
        SET k a
        EVAL lua:redis-semaphore-refresh 1 k b 100000
        EVAL lua:redis-semaphore-refresh 1 k a 100000
        TTL k
        EVAL lua:redis-semaphore-refresh 1 k a soon
        EVAL lua:redis-semaphore-refresh 1 k a
        EVAL lua:redis-semaphore-release 1 k b
        EVAL lua:redis-semaphore-release 1 k a
        EXISTS k
        "#,
    ),
    (
        "@fastify/rate-limit",
        r#"
        EVAL lua:fastify-rate-limit-read 1 k
        EVAL lua:fastify-rate-limit-increment 1 k 100000 2 false false
        EVAL lua:fastify-rate-limit-increment 1 k 200000 2 true true
        TTL k
        EVAL lua:fastify-rate-limit-increment 1 k 300000 2 true true
        EVAL lua:fastify-rate-limit-increment 1 k 400000 2 false true
        TTL k
        EVAL lua:fastify-rate-limit-increment 1 k 400000 2 false true
        EVAL lua:fastify-rate-limit-increment 1 k 1.5 2 false false
        EVAL lua:fastify-rate-limit-read 1 k
        SET k 70
        EVAL lua:fastify-rate-limit-read 1 k
        EVAL lua:fastify-rate-limit-increment 1 k 100000 2 false true
        SET k 10
        EVAL lua:fastify-rate-limit-increment 1 k x 2 false true
        EVAL lua:fastify-rate-limit-increment 1 k 100000 x true false
        EVAL lua:fastify-rate-limit-increment 1 new
        SET k text
        EVAL lua:fastify-rate-limit-read 1 k
        EVAL_RO lua:fastify-rate-limit-read 1 k
        EVAL lua:fastify-rate-limit-increment 1 k 100000 2 false false
        "#,
    ),
    (
        "Nest's throttler",
        r#"
        EVAL lua:nest-throttler 2 k b default 100000 2 200000
        EVAL lua:nest-throttler 2 k b default 100000 2 200000
        TTL k
        EVAL lua:nest-throttler 2 k b default 100000 2 200000
        TTL b
        EVAL lua:nest-throttler 2 k b default 100000 2 200000
        PERSIST b
        EVAL lua:nest-throttler 2 k b default 300000 2 200000
        EXISTS b
        GET k
        TTL k
        PERSIST k
        EVAL lua:nest-throttler 2 k b default 400000 2 200000
        TTL k
        EVAL lua:nest-throttler 2 k b default 100000 2 0
        EVAL lua:nest-throttler 2 k b default 100000 x 200000
        EVAL lua:nest-throttler 2 new b default x 2 200000
        EVAL lua:nest-throttler 1 k default 100000 2 200000
        "#,
    ),
    (
        "limits",
        r#"
        EVAL lua:limits-increment 1 k 100 2
        EVAL lua:limits-increment 1 k 200 2
        TTL k
        EVAL lua:limits-increment 1 k 200 x
        EVAL lua:limits-sliding-get 2 before now 60
        EVAL lua:limits-sliding-acquire 2 before now 3 60 1
        EVAL lua:limits-sliding-acquire 2 before now 3 60 4
        EVAL lua:limits-sliding-acquire 2 before now 3 60 2
        EVAL lua:limits-sliding-acquire 2 before now 3 60 1
        TTL now
        EVAL lua:limits-sliding-get 2 before now 60
        EVAL lua:limits-sliding-get 2 before now 200
        TTL before
        TTL now
        EVAL lua:limits-sliding-acquire 2 before now 3 60 1
        EVAL lua:limits-sliding-acquire 2 before now 30 60 1
        PEXPIRE now 30000
        EVAL lua:limits-sliding-acquire 2 before now 30 60 1
        GET before
        GET now
        TTL now
        EVAL lua:limits-clear 1 none*
        EVAL lua:limits-clear 1 *
        DBSIZE
        "#,
    ),
    (
        "fastapi-limiter",
        r#"
        EVAL lua:fastapi-limiter 1 k 2 100000
        TTL k
        EVAL lua:fastapi-limiter 1 k 2 200000
        TTL k
        PERSIST k
        EVAL lua:fastapi-limiter 1 k 2 100000
        GET k
        EVAL lua:fastapi-limiter 1 k x 100000
        SET k -5
        EVAL lua:fastapi-limiter 1 k 2 100000
        GET k
        TTL k
        SET k 1.5
        EVAL lua:fastapi-limiter 1 k 9 100000
        SET k text
        EVAL lua:fastapi-limiter 1 k 2 100000
        HSET h a 1
        EVAL lua:fastapi-limiter 1 h 2 100000
        EVAL lua:fastapi-limiter 1 none 2 x
        EVAL lua:fastapi-limiter 1 none 2
        EVAL lua:fastapi-limiter 0
        "#,
    ),
    (
        "the limiters of Laravel",
        r#"
        EVAL lua:laravel-duration-attempts 1 k 1000.5 1000 60 2
        EVAL lua:laravel-duration-acquire 1 k 1000.5 1000 60 2
        TTL k
        EVAL lua:laravel-duration-attempts 1 k 1000.9 1000 60 2
        EVAL lua:laravel-duration-acquire 1 k 1001.5 1001 60 2
        EVAL lua:laravel-duration-acquire 1 k 1002.5 1002 60 2
        EVAL lua:laravel-duration-attempts 1 k 1003.5 1003 60 2
        EVAL lua:laravel-duration-attempts 1 k 2000.5 2000 60 2
        EVAL lua:laravel-duration-acquire 1 k 2000.5 2000 60 2
        HGETALL k
        EVAL lua:laravel-duration-acquire 1 k 0 0 60 2
        EVAL lua:laravel-concurrency-count 2 a1 a2
        EVAL lua:laravel-concurrency-acquire 2 a1 a2 a 100 x
        EVAL lua:laravel-concurrency-acquire 2 a1 a2 a 100 y
        EVAL lua:laravel-concurrency-acquire 2 a1 a2 a 100 z
        EVAL lua:laravel-concurrency-count 2 a1 a2
        GET a2
        TTL a2
        EVAL lua:laravel-concurrency-count 0
        "#,
    ),
    (
        "the limiter of Spring Cloud Gateway",
        r#"
        EVAL lua:spring-gateway 1 k 2 3 1000 1
        EVAL lua:spring-gateway 1 k 2 3 1000 2
        EVAL lua:spring-gateway 1 k 2 3 1000 1
        EVAL lua:spring-gateway 1 k 0.5 3 1001 1
        HGETALL k
        TTL k
        EVAL lua:spring-gateway 1 l 10 1 1000 1
        EXISTS l
        EVAL lua:spring-gateway 1 t 1 100 "" 1
        HGET t tokens
        EVAL lua:spring-gateway-4 2 a b 2 3 1000 1
        EVAL lua:spring-gateway-4 2 a b 2 3 1000 3
        EVAL lua:spring-gateway-4 2 a b 0.1 3 1001 1
        MGET a b
        TTL a
        "#,
    ),
    (
        "caches",
        r#"
        EVAL lua:aiocache-compare-set 1 k new old
        SET k old
        EVAL lua:aiocache-compare-set 1 k new old
        EVAL lua:aiocache-compare-set 1 k newer new EX 100
        EVAL lua:aiocache-compare-set 1 k other new
        GET k
        TTL k
        EVAL lua:django-redis-increment 1 n 5
        SET n 1
        EVAL lua:django-redis-increment 1 n 5
        EVAL lua:django-redis-increment 1 n -7
        EVAL lua:increment 1 n 9223372036854775807
        EVAL lua:increment 1 n 1
        EVAL lua:laravel-add 1 add value 100
        EVAL lua:laravel-add 1 add other 200
        GET add
        TTL add
        EVAL lua:laravel-add 1 more value 0
        EVAL lua:aspnet-hset 1 h 1 -1 -1 data
        TTL h
        EVAL lua:aspnet-hset 1 h 2 3 100 more
        HGETALL h
        TTL h
        EVAL lua:aspnet-hmset 1 h 2 3 200 "a\x00b"
        HMGET h absexp sldexp data
        TTL h
        "#,
    ),
];

pub const GRAMMAR: &[&str] = &[
    // Their times are not those of other commands, or `EXPIRE … GT` would race.
    "(EVAL|EVAL_RO) lua:compare-delete 1 {any} {value}",
    "EVAL lua:compare-delete {small} {any} {value}",
    "EVAL lua:redis-py-extend 1 {any} {value} (150000|{int}) (0|1)",
    "EVAL (lua:redlock-acquire|lua:redlock-extend|lua:redlock-release) 2 {any} {any} {value} 150000",
    "EVAL lua:rate-limit-redis-increment 1 {any} 150000",
    "EVAL lua:rate-limiter-flexible 1 {any} {int} 150000",
    "EVAL lua:fastify-rate-limit-increment 1 {any} 150000 1 false (true|false)",
    "(EVAL|EVAL_RO) lua:fastify-rate-limit-read 1 {any}",
    "EVAL lua:nest-throttler 2 {key} {any} name 150000 1 150000",
    "EVAL lua:limits-sliding-acquire 2 {key} {any} 100 60 1",
    "EVAL lua:fastapi-limiter 1 {any} (2|{int}) 150000",
    "EVAL lua:aspnet-hset 1 {any} {value} {value} (-1|{time}) {value}",
    "(EVAL|EVAL_RO) lua:django-redis-increment 1 {any} {int}",
    "(EVALSHA|EVALSHA_RO) sha:increment 1 {any} {int}",
    "SCRIPT LOAD lua:increment",
];
