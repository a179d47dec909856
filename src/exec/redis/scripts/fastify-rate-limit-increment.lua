local key = KEYS[1]
local window = tonumber(ARGV[1])
local max = tonumber(ARGV[2])
local renews = ARGV[3] == 'true'
local backs_off = ARGV[4] == 'true'
local longest = (2^53) - 1
local count = redis.call('incr', key)
if count == 1 or (renews and count > max) then
  redis.call('pexpire', key, window)
elseif backs_off and count > max then
  local exponent = count - max - 1
  window = math.min(window * (2 ^ exponent), longest)
  redis.call('pexpire', key, window)
else
  window = redis.call('pttl', key)
end
return {count, window}
