if redis.call('exists', KEYS[1]) == 0 then
  return {0, ARGV[2] + ARGV[3]}
end
if ARGV[1] >= redis.call('hget', KEYS[1], 'start') and ARGV[1] <= redis.call('hget', KEYS[1], 'end') then
  return {
    redis.call('hget', KEYS[1], 'end'),
    ARGV[4] - redis.call('hget', KEYS[1], 'count')
  }
end
return {0, ARGV[2] + ARGV[3]}
