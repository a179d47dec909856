local keys = redis.call('keys', KEYS[1])
local count = 0
for i = 1, #keys, 5000 do
  count = count + redis.call('del', unpack(keys, i, math.min(i + 4999, #keys)))
end
return count
