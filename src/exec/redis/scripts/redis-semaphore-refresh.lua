local key = KEYS[1]
local token = ARGV[1]
local ttl = ARGV[2]
local held = redis.call('get', key)
if held == token then
  redis.call('pexpire', key, ttl)
  return 1
end
return 0
