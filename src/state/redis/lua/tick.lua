-- The work behind the requests. ARGV: epoch, lease time in ms, replica, how long it is alive in ms,
-- number of leases, leases to renew, places to renew.
-- Returns { what, now, alarms, replicas alive, expired, ids to ask about again }.

if current() ~= ARGV[1] then return { 'epoch', now, {}, 0, 0, {}, epoch } end
local lease_ms, count = tonumber(ARGV[2]), tonumber(ARGV[5])
-- The longest that configs allow.
local LONGEST_LEASE = 600000
local ALIVE, again, expired = P .. 'alive', {}, 0
redis.call('ZADD', ALIVE, text(now + tonumber(ARGV[4])), ARGV[3])
redis.call('ZREMRANGEBYSCORE', ALIVE, '-inf', text(now))

-- Nothing is alive or leased for so long: the clock was set back. What lives renews itself.
redis.call('ZREMRANGEBYSCORE', ALIVE, '(' .. text(now + tonumber(ARGV[4])), '+inf')
for _, id in ipairs(redis.call('ZRANGEBYSCORE', EXPIRY, '(' .. text(now + LONGEST_LEASE), '+inf', 'LIMIT', 0, 200)) do
  redis.call('ZADD', EXPIRY, text(now + lease_ms), id)
end

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
  redis.call('HSET', OPEN, id, raw)
  redis.call('ZADD', EXPIRY, text(now + lease_ms), id)
  return true
end

for i = 6, #ARGV do
  local id = ARGV[i]
  local known = redis.call('ZADD', EXPIRY, 'XX', 'CH', text(now + lease_ms), id) == 1
    or redis.call('ZSCORE', EXPIRY, id)
  if i - 5 <= count then
    if not known then reopen(id) end
  elseif not known or string.sub(redis.call('HGET', OPEN, id) or 'L', 1, 1) == 'L' then again[#again + 1] = id end
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

-- Forgets buckets that have come to rest by themselves, some at a time.
local SWEEP = P .. 'sweep'
local page = redis.call('HSCAN', LEVELS, redis.call('GET', SWEEP) or '0', 'COUNT', 200)
for i = 1, #page[2], 2 do
  local scope, raw = page[2][i], page[2][i + 1]
  if scope ~= EPOCH and not buckets[scope] then
    local _, _, kind, period, burst, unit, amount, mode = struct.unpack(PACKED, raw)
    local b = parse(raw, { scope, kind, amount, period, burst, 0, unit, mode })
    if not b.claim and is_idle(b) then redis.call('HDEL', LEVELS, scope) end
  end
end
redis.call('SET', SWEEP, page[1])
local alarms = flush()
return { 'ok', now, alarms, redis.call('ZCARD', ALIVE), expired, again }
