-- The work behind the requests. ARGV: epoch, lease time in ms, replica, how long it is alive in ms,
-- number of leases, leases to renew, places to renew.
-- Returns { what, now, alarms, replicas alive, expired, ids to ask about again, leases open }.

if epoch ~= ARGV[1] then return { 'epoch', now, {}, 0, 0, {}, 0, epoch or '' } end
local lease_ms, count = tonumber(ARGV[2]), tonumber(ARGV[5])
local ALIVE, again, expired = P .. 'alive', {}, 0
redis.call('ZADD', ALIVE, text(now + tonumber(ARGV[4])), ARGV[3])
redis.call('ZREMRANGEBYSCORE', ALIVE, '-inf', text(now))

-- A lease of a replica that lives after all: it is opened again, whether it fits or not.
local function reopen(id)
  local raw = redis.call('GET', P .. 'expired:' .. id)
  if not raw then return false end
  redis.call('DEL', P .. 'expired:' .. id)
  local windows, a = load_lease(raw)
  for i, c in ipairs(charges_of(a)) do
    if windows[i] ~= '-' then take(c, c[6] - c[9]) end
  end
  use(load_pool(a.p), a.c, 1)
  redis.call('HSET', LEASES, id, raw)
  redis.call('ZADD', EXPIRY, text(now + lease_ms), id)
  return true
end

for i = 6, #ARGV do
  local id = ARGV[i]
  local known = redis.call('ZADD', EXPIRY, 'XX', 'CH', text(now + lease_ms), id) == 1
    or redis.call('ZSCORE', EXPIRY, id)
  if i - 5 <= count then
    if not known then reopen(id) end
  elseif not known or redis.call('HEXISTS', LEASES, id) == 1 then again[#again + 1] = id end
end

-- What a dead replica left behind: the prompt counts as spent, the rest comes back.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', text(now), 'LIMIT', 0, 200)) do
  local raw = close(id, function(c) return c[9] end, lease_ms)
  if raw then redis.call('SET', P .. 'expired:' .. id, raw, 'PX', 3600000)
  else leave(id, lease_ms) end
  redis.call('ZREM', EXPIRY, id)
  expired = expired + 1
end
for _, name in ipairs(redis.call('SMEMBERS', POOLS)) do dispatch(name, lease_ms) end
local alarms = flush()
return { 'ok', now, alarms, redis.call('ZCARD', ALIVE), expired, again, redis.call('HLEN', LEASES) }
