local held = redis.call('get', KEYS[1])
if held == ARGV[1] then
  redis.call('del', KEYS[1])
  return true
end
return false
