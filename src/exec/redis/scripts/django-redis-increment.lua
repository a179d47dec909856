local exists = redis.call('exists', KEYS[1])
if exists == 1 then
  return redis.call('incrby', KEYS[1], ARGV[1])
else
  return false
end
