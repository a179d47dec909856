local hits = redis.call('get', KEYS[1])
local left = redis.call('pttl', KEYS[1])
return {hits, left}
