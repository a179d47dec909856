local function reset()
  redis.call('hmset', KEYS[1], 'start', ARGV[2], 'end', ARGV[2] + ARGV[3], 'count', 1)
  return redis.call('expire', KEYS[1], ARGV[3] * 2)
end
if redis.call('exists', KEYS[1]) == 0 then
  return {reset(), ARGV[2] + ARGV[3], ARGV[4] - 1}
end
if ARGV[1] >= redis.call('hget', KEYS[1], 'start') and ARGV[1] <= redis.call('hget', KEYS[1], 'end') then
  return {
    tonumber(redis.call('hincrby', KEYS[1], 'count', 1)) <= tonumber(ARGV[4]),
    redis.call('hget', KEYS[1], 'end'),
    ARGV[4] - redis.call('hget', KEYS[1], 'count')
  }
end
return {reset(), ARGV[2] + ARGV[3], ARGV[4] - 1}
