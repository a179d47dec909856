redis.call('set', KEYS[1], 0, 'ex', ARGV[2], 'nx')
local consumed = redis.call('incrby', KEYS[1], ARGV[1])
local left = redis.call('pttl', KEYS[1])
if left == -1 then
  redis.call('expire', KEYS[1], ARGV[2])
  left = 1000 * ARGV[2]
end
return {consumed, left}
