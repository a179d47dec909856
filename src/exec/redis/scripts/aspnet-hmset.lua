redis.call('hmset', KEYS[1], 'absexp', ARGV[1], 'sldexp', ARGV[2], 'data', ARGV[4])
if ARGV[3] ~= '-1' then
  redis.call('expire', KEYS[1], ARGV[3])
end
return 1
