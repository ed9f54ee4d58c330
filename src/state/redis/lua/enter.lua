-- Reserves, queues or refuses: Store::enter. ARGV: epoch, moment after which it must not run, wait
-- in ms, lease time in ms, the ask. Idempotent by the ask's id.
-- Returns { what, now, alarms, ahead, held_until, slot, levels, windows of the lease }.

local wait, lease_ms, json = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local a = cjson.decode(json)
local charges = charges_of(a)
prefetch(charges)
if epoch ~= ARGV[1] then return { 'epoch', now, {}, 0, 0, 0, {}, epoch } end
if now > tonumber(ARGV[2]) then return { 'stale', now, {}, 0, 0, 0, {}, '' } end
local p = load_pool(a.p)
local me = { id = a.i, rank = a.k, aged = false }
configure(p, a)

local function answer(what, ahead, windows)
  local out = { what, now, {}, ahead, p.hold, has_slot(p, a.c) and 1 or 0, seen(charges, me), windows }
  -- What is told is what was decided on: others may be let in when it leaves.
  if what == 'denied' and load_waiter(a.i) then leave(a.i, lease_ms) end
  out[3] = flush()
  return out
end

local function judge()
  local least = math.max(p.hold - now, 0)
  for _, c in ipairs(charges) do
    if c[2] ~= CONCURRENT and c[8] == 0 then
      local after = check(c, me)
      if after == -1 then return false end
      if after then least = math.max(least, after) end
    end
  end
  return least <= wait
end

local raw = redis.call('HGET', OPEN, a.i)
local w
if raw then
  local windows = string.match(raw, '^L(%S*) ')
  if windows then return answer('granted', 0, windows) end
  w = load_waiter(a.i)
else
  if not has_ready(p) and p.hold <= now and has_slot(p, a.c) and not fit(a, me) then
    return answer('granted', 0, table.concat(grant(p, a, json, lease_ms), ','))
  end
  local lane = p.lanes[a.c]
  if wait > 0 and lane and lane.n >= a.d then return answer('full', 0, '') end
  if wait > 0 and not judge() then return answer('denied', 0, '') end
  w = push(p, a, json)
  redis.call('ZADD', EXPIRY, text(now + lease_ms), a.i)
end
dispatch(a.p, lease_ms)
if not waiters[a.i] then
  -- It need not be woken: it is here.
  wakes = {}
  return answer('granted', 0, string.match(redis.call('HGET', OPEN, a.i), '^L(%S*) '))
end
if wait <= 0 or not judge() then return answer('denied', 0, '') end
local line, finish = ready_key(p, a.c), text(w.finish)
local ahead = redis.call('ZRANK', line, a.i)
if not ahead then
  -- It is set aside. Of equal finish times the older id goes first, as in the line itself.
  ahead = redis.call('ZCOUNT', line, '-inf', '(' .. finish)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', line, finish, finish)) do
    if id < a.i then ahead = ahead + 1 end
  end
end
for _, lane in pairs(p.lanes) do
  if lane.k < a.k then ahead = ahead + lane.n end
end
return answer('queued', ahead, '')
