//! The scripts that are known. A text in `*.lua` says what a script does in as few words as can be;
//! it is never run, only compared with what clients send, without how that is written.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::script::{Returned, Script};
use super::tokens::{Canonical, Token};
use super::{caches, limiters, locks};

/// A script that is known.
#[derive(Debug)]
pub(super) struct Known {
    /// What it is called here; its text is in the file of this name.
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    name: &'static str,
    /// Whose it is.
    #[cfg_attr(not(test), expect(dead_code, reason = "for people"))]
    of: &'static str,
    text: &'static str,
    pub(super) run: fn(&mut Script<'_, '_>) -> Returned<'static>,
}

/// The known script of which these are the tokens.
pub(super) fn find(tokens: &[Token]) -> Option<&'static Known> {
    static FORMS: LazyLock<HashMap<Vec<Token>, &Known>> = LazyLock::new(|| {
        let form = |known: &Known| Canonical::of(known.text.as_bytes()).map(|form| form.tokens);
        let forms = KNOWN.iter().map(|known| (form(known), known));
        forms
            .filter_map(|(form, known)| Some((form?, known)))
            .collect()
    });
    FORMS.get(tokens).copied()
}

macro_rules! known {
    ($($name:literal, $of:literal, $run:path;)*) => {
        &[$(Known {
            name: $name,
            of: $of,
            text: include_str!(concat!($name, ".lua")),
            run: $run,
        }),*]
    };
}

/// All of them.
static KNOWN: &[Known] = known! {
    "compare-delete", "phpredis, Laravel, aiocache, pottery and most others", locks::compare_delete;
    "compare-delete-end", "the same, written otherwise", locks::compare_delete;
    "compare-expire", "many", locks::compare_expire;
    "compare-expire-end", "many", locks::compare_expire;
    "compare-pexpire", "redsync, pottery and others", locks::compare_pexpire;
    "compare-pexpire-end", "many", locks::compare_pexpire;
    "redsync-delete", "redsync (Go)", locks::redsync_delete;
    "redis-py-release", "redis-py", locks::redis_py_release;
    "redis-py-extend", "redis-py", locks::redis_py_extend;
    "redis-py-reacquire", "redis-py", locks::compare_pexpire_one;
    "redlock-acquire", "redlock (Node)", locks::redlock_acquire;
    "redlock-extend", "redlock (Node)", locks::redlock_extend;
    "redlock-release", "redlock (Node)", locks::redlock_release;
    "redis-semaphore-refresh", "redis-semaphore (Node)", locks::compare_pexpire_one;
    "redis-semaphore-release", "redis-semaphore (Node)", locks::compare_delete;
    "laravel-refresh", "Laravel", locks::laravel_refresh;
    "spring-obtain", "Spring Integration", locks::spring_obtain;
    "spring-renew", "Spring Integration", locks::spring_renew;
    "spring-del", "Spring Integration", locks::spring_del;
    "spring-unlink", "Spring Integration", locks::spring_unlink;
    "spring-del-publish", "Spring Integration", locks::spring_del_publish;
    "spring-unlink-publish", "Spring Integration", locks::spring_unlink_publish;
    "aioredlock-set", "aioredlock", locks::aioredlock_set;
    "aioredlock-unset", "aioredlock", locks::aioredlock_unset;
    "aioredlock-ttl", "aioredlock", locks::aioredlock_ttl;
    "pottery-acquired", "pottery", locks::pottery_acquired;
    "python-redis-lock-extend", "python-redis-lock", locks::python_redis_lock_extend;
    "increment-expire", "many", limiters::increment_expire;
    "increment-expire-tonumber", "many", limiters::increment_expire;
    "increment-pexpire", "many", limiters::increment_pexpire;
    "increment-pexpire-tonumber", "many", limiters::increment_pexpire;
    "rate-limit-redis-increment", "rate-limit-redis 5 and 6", limiters::rate_limit_redis_increment;
    "rate-limit-redis-4-increment", "rate-limit-redis 4", limiters::rate_limit_redis_4_increment;
    "rate-limit-redis-get", "rate-limit-redis", limiters::rate_limit_redis_get;
    "rate-limiter-flexible", "rate-limiter-flexible", limiters::rate_limiter_flexible;
    "fastify-rate-limit-increment", "@fastify/rate-limit", limiters::fastify_rate_limit_increment;
    "fastify-rate-limit-read", "@fastify/rate-limit", limiters::fastify_rate_limit_read;
    "nest-throttler", "@nest-lab/throttler-storage-redis", limiters::nest_throttler;
    "limits-increment", "limits (Python)", limiters::limits_increment;
    "limits-sliding-acquire", "limits (Python)", limiters::limits_sliding_acquire;
    "limits-sliding-get", "limits (Python)", limiters::limits_sliding_get;
    "limits-clear", "limits (Python)", limiters::limits_clear;
    "fastapi-limiter", "fastapi-limiter", limiters::fastapi_limiter;
    "laravel-duration-acquire", "Laravel", limiters::laravel_duration_acquire;
    "laravel-duration-attempts", "Laravel", limiters::laravel_duration_attempts;
    "laravel-concurrency-acquire", "Laravel", limiters::laravel_concurrency_acquire;
    "laravel-concurrency-count", "Laravel", limiters::laravel_concurrency_count;
    "spring-gateway", "Spring Cloud Gateway", limiters::spring_gateway;
    "spring-gateway-4", "Spring Cloud Gateway 3 and 4", limiters::spring_gateway_4;
    "aiocache-compare-set", "aiocache", caches::aiocache_compare_set;
    "django-redis-increment", "django-redis", caches::django_redis_increment;
    "increment", "django-redis", caches::increment;
    "laravel-add", "Laravel", caches::laravel_add;
    "aspnet-hset", "ASP.NET Core", caches::aspnet_hset;
    "aspnet-hmset", "ASP.NET Core, before Redis 4", caches::aspnet_hmset;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_found_by_its_text() {
        for known in KNOWN {
            let form = Canonical::of(known.text.as_bytes()).unwrap();
            let found = find(&form.tokens).unwrap();
            assert_eq!(found.name, known.name, "of {}", known.of);
            let calls = known.text.matches("redis.call(").count();
            let calls = calls + known.text.matches("redis.pcall(").count();
            assert_eq!(form.sites.len(), calls, "{}", known.name);
        }
        assert!(find(&[]).is_none());
    }
}
