local key = KEYS[1]
local count = redis.call('get', key)
if not count then
  return {0, 0}
end
local left = redis.call('pttl', key)
if left < 0 then
  left = 0
end
return {tonumber(count), left}
