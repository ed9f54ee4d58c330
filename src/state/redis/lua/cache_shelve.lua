-- Adds a prompt to the vector set of its partition, and takes out what has had its time: elements of a set do not expire.
--
-- KEYS   the vector set, and the moments its elements end, as a sorted set
-- ARGV   the vector (little-endian f32), the element, its time in ms, how many elements are kept
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local ttl = tonumber(ARGV[3])
redis.call('VADD', KEYS[1], 'FP32', ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now + ttl, ARGV[2])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 64)
local over = redis.call('ZCARD', KEYS[2]) - #gone - tonumber(ARGV[4])
if over > 0 then
  gone = redis.call('ZRANGE', KEYS[2], 0, #gone + math.min(over, 64) - 1)
end
for _, element in ipairs(gone) do
  redis.call('VREM', KEYS[1], element)
  redis.call('ZREM', KEYS[2], element)
end
if redis.call('PTTL', KEYS[1]) < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return #gone
