local count = 0
for index, value in pairs(redis.call('mget', unpack(KEYS))) do
  if value then
    count = count + 1
  end
end
return count
