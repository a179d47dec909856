local window = tonumber(ARGV[1])
local left = redis.call('pttl', KEYS[1])
if left <= 0 then
  redis.call('set', KEYS[1], 1, 'px', window)
  return {1, window}
end
local hits = redis.call('incr', KEYS[1])
return {hits, left}
