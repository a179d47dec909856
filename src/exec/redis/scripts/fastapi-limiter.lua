local key = KEYS[1]
local limit = tonumber(ARGV[1])
local expire_time = ARGV[2]
local current = tonumber(redis.call('get', key) or '0')
if current > 0 then
  if current + 1 > limit then
    return redis.call('pttl', key)
  else
    redis.call('incr', key)
    return 0
  end
else
  redis.call('set', key, 1, 'px', expire_time)
  return 0
end
