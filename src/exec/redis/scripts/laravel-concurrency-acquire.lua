for index, value in pairs(redis.call('mget', unpack(KEYS))) do
  if not value then
    redis.call('set', KEYS[index], ARGV[3], 'ex', ARGV[2])
    return ARGV[1]..index
  end
end
