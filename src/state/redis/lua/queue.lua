-- Pools, leases and waiters: the order of policies/src/queue.rs, and who is let in next.
--
-- An ask is what src/state/redis/wire.rs writes:
-- i id, p pool, n slots (-1: no bound), s reserved { { class, slots } }, c class, k rank, w weight,
-- g age_after_ms, d max_depth, f key, x cost, a replica, q the pool's charge or {}, l charges.

local SCALE = 1000
-- Waiters looked at, brought back by time, and brought back by a bucket, in one go.
local LOOKS, BACK, UNBLOCK = 64, 32, 4
-- Who stands behind others for a bucket is looked at when they are gone; this is for safety.
local PATIENCE = 30000
-- src/pipeline/flight.rs holds no pool for longer.
local LONGEST_HOLD = 600000
-- Orders waiters of several pools for one bucket: rank before virtual finish.
local RANK = 17592186044416

-- Leases ('L' windows ask) and waiters ('W' finish since ask) by id; when each expires; pools that have
-- waiters, and all pools.
local OPEN, EXPIRY, POOLS, NAMES = P .. 'open', P .. 'expiry', P .. 'pools', P .. 'names'

local pools, wakes, alarms = {}, {}, {}

local function alarm(name, at)
  if not alarms[name] or at < alarms[name] then alarms[name] = at end
end

local function load_pool(name)
  local p = pools[name]
  if p then return p end
  p = { name = name, use = 0, hold = 0, served = 0, cfg = '', n = -1, s = {}, by = {}, lanes = {}, waiting = 0, dirty = {} }
  local raw = redis.call('HGETALL', P .. 'p:' .. name)
  for i = 1, #raw, 2 do
    local field, value = raw[i], raw[i + 1]
    local kind, class = string.match(field, '^(.):(.*)$')
    if not kind then
      if field == 'cfg' then p.cfg = value else p[field] = tonumber(value) end
    elseif kind == 'u' then p.by[class] = tonumber(value)
    else
      local n, v, s, k, w, g = string.match(value, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
      p.lanes[class] = {
        n = tonumber(n), v = tonumber(v), s = tonumber(s), k = tonumber(k), w = tonumber(w), g = tonumber(g),
      }
      p.waiting = p.waiting + tonumber(n)
    end
  end
  if p.cfg ~= '' then
    local cfg = cjson.decode(p.cfg)
    p.n, p.s = cfg[1], cfg[2]
  end
  -- Longer than any hold: the clock was set back.
  if p.hold - now > LONGEST_HOLD then p.hold = now end
  p.had = p.waiting > 0
  pools[name] = p
  return p
end

local function configure(p, a)
  local cfg = cjson.encode({ a.n, a.s })
  if cfg ~= p.cfg then
    if p.cfg == '' then redis.call('SADD', NAMES, p.name) end
    p.cfg, p.n, p.s = cfg, a.n, a.s
    p.dirty.cfg = cfg
  end
end

local function set(p, field, value)
  p[field] = value
  p.dirty[field] = text(value)
end

local function use(p, class, change)
  set(p, 'use', math.max(p.use + change, 0))
  p.by[class] = math.max((p.by[class] or 0) + change, 0)
  p.dirty['u:' .. class] = text(p.by[class])
end

local function has_slot(p, class)
  if p.n < 0 then return true end
  local kept = 0
  for _, pair in ipairs(p.s) do
    if pair[1] ~= class then kept = kept + math.max(pair[2] - (p.by[pair[1]] or 0), 0) end
  end
  return p.n - p.use - kept > 0
end

local function ready_key(p, class) return P .. 'r:' .. class .. '|' .. p.name end
local function oldest_key(p, class) return P .. 'o:' .. class .. '|' .. p.name end
local function keys_key(p, class) return P .. 'f:' .. class .. '|' .. p.name end
local function aside_key(p) return P .. 'a:' .. p.name end

local function touch(p, class)
  local lane = p.lanes[class]
  p.dirty['c:' .. class] = table.concat({ text(lane.n), text(lane.v), text(lane.s), lane.k, lane.w, text(lane.g) }, ' ')
end

local waiters = {}

local function load_waiter(id)
  local w = waiters[id]
  if w then return w end
  local finish, since, json = string.match(redis.call('HGET', OPEN, id) or '', '^W(%S+) (%S+) (.*)$')
  if not json then return nil end
  w = { id = id, finish = tonumber(finish), since = tonumber(since), json = json, a = cjson.decode(json) }
  waiters[id] = w
  return w
end

local function is_aged(w) return w.a.g > 0 and now - w.since >= w.a.g end

local function make_ready(p, w)
  redis.call('ZADD', ready_key(p, w.a.c), text(w.finish), w.id)
  redis.call('ZADD', oldest_key(p, w.a.c), text(w.since), w.id)
end

local function unready(p, w)
  redis.call('ZREM', ready_key(p, w.a.c), w.id)
  redis.call('ZREM', oldest_key(p, w.a.c), w.id)
end

local function push(p, a, json)
  local lane = p.lanes[a.c] or { n = 0, v = 0, s = 0 }
  lane.k, lane.w, lane.g = a.k, a.w, a.g
  p.lanes[a.c] = lane
  local cost = math.max(a.x, 1)
  local raw = redis.call('HGET', keys_key(p, a.c), a.f)
  local last, count = 0, 0
  if raw then
    last, count = string.match(raw, '^(%S+) (%S+)$')
    last, count = tonumber(last), tonumber(count)
  end
  last = math.max(last, lane.v) + cost
  redis.call('HSET', keys_key(p, a.c), a.f, text(last) .. ' ' .. text(count + 1))
  lane.n = lane.n + 1
  p.waiting = p.waiting + 1
  touch(p, a.c)
  local w = { id = a.i, finish = last, since = now, json = json, a = a }
  waiters[a.i] = w
  redis.call('HSET', OPEN, a.i, 'W' .. text(last) .. ' ' .. text(now) .. ' ' .. json)
  make_ready(p, w)
  return w
end

-- One waiter less. Keys and virtual times are forgotten with the last.
local function gone(p, w, last)
  local class = w.a.c
  local lane = p.lanes[class]
  lane.n = math.max(lane.n - 1, 0)
  p.waiting = math.max(p.waiting - 1, 0)
  if lane.n == 0 then
    redis.call('DEL', keys_key(p, class))
    lane.v = 0
  else
    local raw = redis.call('HGET', keys_key(p, class), w.a.f)
    if raw then
      local finish, count = string.match(raw, '^(%S+) (%S+)$')
      finish, count = last or tonumber(finish), tonumber(count) - 1
      if count <= 0 and finish <= lane.v then redis.call('HDEL', keys_key(p, class), w.a.f)
      else redis.call('HSET', keys_key(p, class), w.a.f, text(finish) .. ' ' .. text(math.max(count, 0))) end
    end
  end
  touch(p, class)
  if p.waiting == 0 then
    for name in pairs(p.lanes) do p.dirty['c:' .. name] = false end
    p.lanes = {}
    set(p, 'served', 0)
  end
  waiters[w.id] = nil
end

local function first(p)
  local best
  for class, lane in pairs(p.lanes) do
    if lane.n > 0 and has_slot(p, class) then
      local id = redis.call('ZRANGE', ready_key(p, class), 0, 0)[1]
      if id then
        local rank = lane.k
        if lane.g > 0 then
          local since = tonumber(redis.call('ZRANGE', oldest_key(p, class), 0, 0, 'WITHSCORES')[2])
          rank = math.max(rank - div(math.max(now - since, 0), lane.g), 0)
        end
        local service = math.max(lane.s, p.served)
        if not best or rank < best.rank or (rank == best.rank
          and (service < best.service or (service == best.service and class < best.class))) then
          best = { rank = rank, service = service, class = class, id = id }
        end
      end
    end
  end
  return best and best.id
end

local function has_ready(p)
  for class, lane in pairs(p.lanes) do
    if lane.n > 0 and redis.call('EXISTS', ready_key(p, class)) == 1 then return true end
  end
  return false
end

-- nil if an ask fits; 'pool' and the wait for its rate; or 'limits', and { charge, wait } of each.
local function fit(a, me)
  prefetch(a.l)
  if #a.q > 0 then
    local wait = check(a.q, me)
    if wait then return 'pool', wait end
  end
  local short
  for _, c in ipairs(a.l) do
    if c[8] == 0 then
      local wait = check(c, me)
      if wait then
        short = short or {}
        short[#short + 1] = { c, wait }
      end
    end
  end
  if short then return 'limits', short end
end

-- All charges of an ask: the limits', then the pool's.
local function charges_of(a)
  local all = {}
  for i, c in ipairs(a.l) do all[i] = c end
  if #a.q > 0 then all[#all + 1] = a.q end
  return all
end

-- Takes everything an ask needs, and opens its lease. What an observing limit would have refused
-- it does not spend: its window is '-'.
local function grant(p, a, json, lease_ms)
  local windows = {}
  for i, c in ipairs(charges_of(a)) do
    if c[8] == 1 and check(c) then windows[i] = '-'
    else
      take(c, c[6])
      windows[i] = text(window_of(c))
    end
  end
  use(p, a.c, 1)
  redis.call('HSET', OPEN, a.i, 'L' .. table.concat(windows, ',') .. ' ' .. json)
  -- A place is renewed by its replica already: if that is dead, its lease ends when the place had.
  redis.call('ZADD', EXPIRY, 'NX', text(now + lease_ms), a.i)
  return windows
end

local function load_lease(raw)
  local windows, json = string.match(raw, '^L(%S*) (.*)$')
  local list = {}
  for window in string.gmatch(windows, '[^,]+') do list[#list + 1] = window end
  return list, cjson.decode(json)
end

local function back(id)
  local w = load_waiter(id)
  if not w then return nil end
  local p = load_pool(w.a.p)
  if redis.call('ZREM', aside_key(p), id) == 0 then return nil end
  for _, c in ipairs(w.a.l) do redis.call('ZREM', P .. 'b:' .. c[1], id) end
  make_ready(p, w)
  return p
end

local function wake(replica, id)
  local list = wakes[replica] or {}
  list[#list + 1] = id
  wakes[replica] = list
end

-- Puts the first few waiters for a bucket back, because something was given back to it or the one
-- before them is gone. Returns the pools they wait for.
local function unblock(c, touched)
  local key = P .. 'b:' .. c[1]
  for _, id in ipairs(redis.call('ZRANGE', key, 0, UNBLOCK - 1)) do
    local p = back(id)
    if p then touched[p.name] = true else redis.call('ZREM', key, id) end
  end
end

-- Sets a waiter aside until the last of its limits should have room. Only the first few for a
-- bucket are woken by time: the others wait for them.
local function set_aside(p, w, me, short)
  local longest, top = 1, true
  for _, pair in ipairs(short) do
    local key, wait = P .. 'b:' .. pair[1][1], pair[2]
    if wait < 0 then wait = SLOT_HINT end
    longest = math.max(longest, wait)
    redis.call('ZADD', key, text(w.a.k * RANK + w.finish), w.id)
    top = top and redis.call('ZRANK', key, w.id) < UNBLOCK
  end
  if top then
    for _, pair in ipairs(short) do claim(pair[1], me, now + longest) end
  end
  unready(p, w)
  redis.call('ZADD', aside_key(p), text(now + (top and longest or PATIENCE)), w.id)
end

local function disclaim_all(a)
  for _, c in ipairs(charges_of(a)) do disclaim(c, a.i) end
end

-- Those who stood behind a waiter that is gone have their turn.
local function follow_up(p, a)
  local touched = {}
  for _, c in ipairs(a.l) do unblock(c, touched) end
  for name in pairs(touched) do
    if name ~= p.name then alarm(name, now) end
  end
end

local function serve(p, w, lease_ms)
  grant(p, w.a, w.json, lease_ms)
  disclaim_all(w.a)
  unready(p, w)
  local lane = p.lanes[w.a.c]
  lane.v = math.max(lane.v, w.finish)
  local before = math.max(lane.s, p.served)
  lane.s = before + div(math.max(w.a.x, 1) * SCALE, math.max(lane.w, 1))
  set(p, 'served', before)
  gone(p, w)
  wake(w.a.a, w.id)
  follow_up(p, w.a)
end

local alive = {}

local function is_alive(replica)
  if alive[replica] == nil then
    alive[replica] = tonumber(redis.call('ZSCORE', P .. 'alive', replica) or 0) > now
  end
  return alive[replica]
end

-- A waiter that is not served: its place is free at once.
local function remove(p, w)
  back(w.id)
  disclaim_all(w.a)
  unready(p, w)
  local lane, last = p.lanes[w.a.c], nil
  local raw = redis.call('HGET', keys_key(p, w.a.c), w.a.f)
  if raw then last = math.max(tonumber(string.match(raw, '^(%S+)')) - math.max(w.a.x, 1), lane.v) end
  gone(p, w, last)
  redis.call('HDEL', OPEN, w.id)
  redis.call('ZREM', EXPIRY, w.id)
  follow_up(p, w.a)
end

local function dispatch(name, lease_ms)
  local p = load_pool(name)
  if p.waiting == 0 then return end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', aside_key(p), '-inf', text(now), 'LIMIT', 0, BACK)) do back(id) end
  if p.hold > now then return alarm(name, p.hold) end
  local look = 0
  while true do
    local id = first(p)
    if not id then break end
    if look == LOOKS then
      alarm(name, now + 1)
      break
    end
    look = look + 1
    local w = load_waiter(id)
    local me = { id = id, rank = w.a.k, aged = is_aged(w) }
    local why, short = fit(w.a, me)
    if not is_alive(w.a.a) then
      -- Nobody would take the lease up; should the replica live after all, it asks again.
      remove(p, w)
      wake(w.a.a, id)
    elseif not why then serve(p, w, lease_ms)
    elseif why == 'pool' then
      alarm(name, now + (short < 0 and SLOT_HINT or short))
      break
    else set_aside(p, w, me, short) end
  end
  local next = redis.call('ZRANGE', aside_key(p), 0, 0, 'WITHSCORES')[2]
  if next then alarm(name, tonumber(next)) end
end

-- Gives up a place; false if there is none.
local function leave(id, lease_ms)
  local w = load_waiter(id)
  if not w then return false end
  remove(load_pool(w.a.p), w)
  dispatch(w.a.p, lease_ms)
  return true
end

-- Ends a lease with `amounts(charge)` used; nil if there is none.
local function close(id, amounts, lease_ms)
  local raw = redis.call('HGET', OPEN, id)
  if not raw or string.sub(raw, 1, 1) ~= 'L' then return nil end
  redis.call('HDEL', OPEN, id)
  redis.call('ZREM', EXPIRY, id)
  local windows, a = load_lease(raw)
  local charges, touched = charges_of(a), { [a.p] = true }
  prefetch(charges)
  local somebody = redis.call('EXISTS', POOLS) == 1
  for i, c in ipairs(charges) do
    if windows[i] ~= '-' then settle_charge(c, tonumber(windows[i]), amounts(c)) end
    if somebody then unblock(c, touched) end
  end
  use(load_pool(a.p), a.c, -1)
  local names = {}
  for name in pairs(touched) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do dispatch(name, lease_ms) end
  return raw
end

-- Writes what changed, wakes who was let in, and says when to look again: { pool, at, ... }.
local function flush()
  flush_buckets()
  for name, p in pairs(pools) do
    local fields, dropped = {}, {}
    for field, value in pairs(p.dirty) do
      if value then
        fields[#fields + 1] = field
        fields[#fields + 1] = value
      else dropped[#dropped + 1] = field end
    end
    if #fields > 0 then redis.call('HSET', P .. 'p:' .. name, unpack(fields)) end
    if #dropped > 0 then redis.call('HDEL', P .. 'p:' .. name, unpack(dropped)) end
    local has = p.waiting > 0
    if has ~= p.had then redis.call(has and 'SADD' or 'SREM', POOLS, name) end
  end
  for replica, ids in pairs(wakes) do redis.call('PUBLISH', P .. 'wake:' .. replica, table.concat(ids, ' ')) end
  local out = {}
  for name, at in pairs(alarms) do
    out[#out + 1] = name
    out[#out + 1] = at
  end
  return out
end

-- The epoch in force, once it has been read.
local function current()
  if not epoch then prefetch({}) end
  return epoch
end
