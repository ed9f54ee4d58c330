-- Agrees on an epoch, and brings back what the replicas know if the store has lost it. ARGV: the
-- epoch to propose, lease time in ms, number of levels, levels { charge, value, window }, then
-- pairs of windows and ask of open leases; those of an outage have no windows: they are granted now,
-- whether they fit or not. Returns { what, now, alarms, the epoch, ids and windows of the leases }.

local lease_ms, count, leases = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
for i = 4, 3 + count do
  local c, v, at = unpack(cjson.decode(ARGV[i]))
  local b = bucket(c)
  -- The most that anybody knows of: levels of a window only grow, but for refunds.
  if b.at == at and v > b.v then b.v, b.dirty = v, true end
end
for i = 4 + count, #ARGV, 2 do
  local windows, json = ARGV[i], ARGV[i + 1]
  local a = cjson.decode(json)
  local p = load_pool(a.p)
  configure(p, a)
  local known = string.match(redis.call('HGET', OPEN, a.i) or '', '^L(%S*) ')
  if known then windows = known
  elseif windows == '' then
    leave(a.i, lease_ms)
    windows = table.concat(grant(p, a, json, lease_ms), ',')
  else
    redis.call('HSET', OPEN, a.i, 'L' .. windows .. ' ' .. json)
    redis.call('ZADD', EXPIRY, text(now + lease_ms), a.i)
    use(p, a.c, 1)
    for _, c in ipairs(a.l) do
      if c[2] == CONCURRENT then take(c, 1) end
    end
  end
  leases[#leases + 1] = a.i
  leases[#leases + 1] = windows
end
redis.call('HSETNX', LEVELS, EPOCH, ARGV[1])
local alarms = flush()
return { 'ok', now, alarms, redis.call('HGET', LEVELS, EPOCH), leases }
