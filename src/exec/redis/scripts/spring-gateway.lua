redis.replicate_commands()
local key = KEYS[1]
local rate = tonumber(ARGV[1])
local capacity = tonumber(ARGV[2])
local now = tonumber(ARGV[3])
local requested = tonumber(ARGV[4])
local fill_time = capacity / rate
local ttl = math.floor(fill_time * 2)
if now == nil then
  now = redis.call('time')[1]
end
local last_tokens = tonumber(redis.call('hget', key, 'tokens'))
if last_tokens == nil then
  last_tokens = capacity
end
local last_refreshed = tonumber(redis.call('hget', key, 'timestamp'))
if last_refreshed == nil then
  last_refreshed = 0
end
local delta = math.max(0, now - last_refreshed)
local filled_tokens = math.min(capacity, last_tokens + (delta * rate))
local allowed = filled_tokens >= requested
local new_tokens = filled_tokens
local allowed_num = 0
if allowed then
  new_tokens = filled_tokens - requested
  allowed_num = 1
end
if ttl > 0 then
  redis.call('hset', key, 'tokens', new_tokens)
  redis.call('hset', key, 'timestamp', now)
  redis.call('expire', key, ttl)
end
return {allowed_num, new_tokens}
