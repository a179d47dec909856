local held = redis.call('get', KEYS[1])
if not held then
  return redis.error_reply('ERROR')
elseif held == ARGV[1] then
  return redis.call('ttl', KEYS[1])
else
  return redis.error_reply('ERROR')
end
