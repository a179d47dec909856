local key = KEYS[1]
local block = KEYS[2]
local name = ARGV[1]
local window = tonumber(ARGV[2])
local limit = tonumber(ARGV[3])
local block_time = tonumber(ARGV[4])
local count = redis.call('incr', key)
local left = redis.call('pttl', key)
if left <= 0 then
  redis.call('pexpire', key, window)
  left = window
end
local blocked = redis.call('get', block)
local block_left = 0
if blocked then
  block_left = redis.call('pttl', block)
elseif count > limit then
  redis.call('set', block, 1, 'px', block_time)
  blocked = '1'
  block_left = block_time
end
if blocked and block_left <= 0 then
  redis.call('del', block)
  redis.call('set', key, 1, 'px', window)
  count = 1
  left = window
  blocked = false
end
return {count, left, blocked and 1 or 0, block_left}
