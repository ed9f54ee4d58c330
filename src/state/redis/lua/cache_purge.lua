-- Notes what the cache is to forget. The answers themselves are not looked at: each is stamped with the number of the last
-- purge that its replica knew, and one that is older than a purge that names it is not used.
--
-- KEYS[1]  the hash: `epoch`, `seq`, and `p:` and a purge in JSON -> its number
-- ARGV     an epoch to begin if there is none, the epoch and number known to the caller (or '' and 0),
--          how many purges are remembered, the purge (or '')
-- returns  the epoch and the last number
local key = KEYS[1]
local epoch = redis.call('HGET', key, 'epoch')
local seq = tonumber(redis.call('HGET', key, 'seq') or '0')
-- A number that has gone back: a server that was restored, or a replica that knew less. Purges may be lost.
local lost = not epoch or (epoch == ARGV[2] and seq < tonumber(ARGV[3]))
local full = ARGV[5] ~= '' and redis.call('HLEN', key) > tonumber(ARGV[4])
if lost or full then
  epoch = ARGV[1]
  seq = 0
  redis.call('DEL', key)
  redis.call('HSET', key, 'epoch', epoch, 'seq', '0')
end
if ARGV[5] ~= '' then
  seq = redis.call('HINCRBY', key, 'seq', 1)
  redis.call('HSET', key, 'p:' .. ARGV[5], seq)
end
return {epoch, seq}
