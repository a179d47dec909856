local held = redis.call('get', KEYS[1])
if held == ARGV[1] then
  return redis.call('del', KEYS[1])
elseif held == false then
  return -1
else
  return 0
end
