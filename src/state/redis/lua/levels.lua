-- Levels of limits: the arithmetic of policies/src/level.rs, on doubles that stay exact below 2^53.
--
-- Every script is this file, queue.lua, and its own. KEYS[1] is the prefix with the hash tag: all
-- keys are in one slot, so that a decision over any number of limits is one step in a cluster too.
-- ARGV[1] is the epoch the caller knows. The clock is the server's.
--
-- A charge is { scope, kind, amount, period_ms, burst, asked, unit, observe, sunk }.

local P = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- One hash holds all buckets and the epoch, which is lost with them; no scope is called so.
local LEVELS, EPOCH = P .. 'levels', '!epoch'
local epoch

local RATE, DAY, MONTH, CONCURRENT = 0, 1, 2, 3
local DAY_MS = 86400000
local EXACT = 9007199254740992
-- Nobody knows when a slot frees.
local SLOT_HINT = 1000
-- A clock that goes back further than this was set, and is followed (policies/src/level.rs).
local FOLLOW_BACK = 60000
-- A claim outlives the moment at which its holder should fit by this much.
local CLAIM_SLACK = 100

local function text(number) return string.format('%.0f', number) end
local function div(a, b) return math.floor(a / b) end
local function div_up(a, b) return math.floor((a + b - 1) / b) end

-- The calendar of policies/src/calendar.rs.
local function window_id(kind, at)
  local days = div(at, DAY_MS)
  if kind == DAY then return days end
  local shifted = days + 719468
  local era = div(shifted, 146097)
  local doe = shifted % 146097
  local yoe = div(doe - div(doe, 1460) + div(doe, 36524) - div(doe, 146096), 365)
  local doy = doe - (365 * yoe + div(yoe, 4) - div(yoe, 100))
  local m = div(5 * doy + 2, 153)
  local month = m < 10 and m + 3 or m - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return year * 12 + month - 1
end

local function window_end(kind, id)
  if kind == DAY then return (id + 1) * DAY_MS end
  local year, month = div(id + 1, 12), (id + 1) % 12 + 1
  if month <= 2 then year = year - 1 end
  local era = div(year, 400)
  local yoe = year % 400
  local m = month > 2 and month - 3 or month + 9
  local doe = yoe * 365 + div(yoe, 4) - div(yoe, 100) + div(153 * m + 2, 5)
  return (era * 146097 + doe - 719468) * DAY_MS
end

-- Buckets are read once, and written at the end by `flush`.
local buckets = {}

local function brim(c) return c[5] * c[4] end

local function fresh(b, c)
  b.c = c
  if c[2] == RATE then b.v, b.at = brim(c), now
  elseif c[2] == CONCURRENT then b.v, b.at = 0, 0
  else b.v, b.at = 0, window_id(c[2], now) end
end

local function advance(b)
  local c = b.c
  if c[2] == RATE then
    if now > b.at then
      b.v = b.v + math.min((now - b.at) * c[3], 2 * EXACT)
      b.at = now
    elseif b.at - now > FOLLOW_BACK then b.at = now end
    b.v = math.min(b.v, brim(c))
  elseif c[2] ~= CONCURRENT then
    local id = window_id(c[2], now)
    if id > b.at then
      b.v = math.max(b.v - c[3] * (id - b.at), 0)
      b.at = id
    end
  end
end

-- A bucket is eight doubles: value, moment, and of its limit kind, period, burst, unit, amount and
-- mode; behind them, if there is one, the claim on it.
local PACKED, PACKED_BYTES = '<dddddddd', 64

local function parse(raw, c)
  local b = { scope = c[1] }
  local v, at, kind, period, burst, unit
  if raw then v, at, kind, period, burst, unit = struct.unpack(PACKED, raw) end
  -- A reload may have changed the limit: what was spent stays spent while its kind is the same.
  if v and kind == c[2] and period == c[4] and burst == c[5] and unit == c[7] then
    b.c, b.v, b.at = c, v, at
    advance(b)
  else
    fresh(b, c)
  end
  if raw and #raw > PACKED_BYTES then
    local id, rank, aged, ends = string.match(raw, '^(%S+) (%S+) (%S+) (%S+)', PACKED_BYTES + 1)
    if tonumber(ends) > now then
      b.claim = { id = id, rank = tonumber(rank), aged = aged == '1', ends = tonumber(ends) }
    end
  end
  return b
end

-- Reads the epoch and the buckets of these charges in one go.
local function prefetch(charges)
  local names, wanted = { EPOCH }, {}
  for _, c in ipairs(charges) do
    if not buckets[c[1]] then
      wanted[#wanted + 1] = c
      names[#names + 1] = c[1]
    end
  end
  if epoch and #wanted == 0 then return end
  local raw = redis.call('HMGET', LEVELS, unpack(names))
  epoch = raw[1] or ''
  for i, c in ipairs(wanted) do buckets[c[1]] = parse(raw[i + 1], c) end
end

local function bucket(c)
  if not buckets[c[1]] then prefetch({ c }) end
  return buckets[c[1]]
end

-- nil if `c` fits, else the milliseconds until it does, or -1 for never. Claims of others count
-- for `me` = { id, rank, aged }.
local function check(c, me)
  local b = bucket(c)
  local claim = b.claim
  if me and claim and claim.id ~= me.id and (me.rank > claim.rank or (me.rank == claim.rank and claim.aged)) then
    return claim.ends - now
  end
  if c[2] == RATE then
    if c[6] > c[5] then return -1 end
    local missing = c[6] * c[4] - b.v
    if missing <= 0 then return nil end
    return div_up(missing, math.max(c[3], 1)) + b.at - now
  elseif c[2] == CONCURRENT then
    if b.v < c[3] then return nil end
    return SLOT_HINT
  end
  if c[6] > c[3] then return -1 end
  local over = b.v + c[6] - c[3]
  if over <= 0 then return nil end
  return window_end(c[2], b.at + div_up(over, math.max(c[3], 1)) - 1) - now
end

-- Takes units; a negative number gives back.
local function take(c, units)
  local b = bucket(c)
  if c[2] == RATE then b.v = math.min(math.max(b.v - units * c[4], -EXACT), brim(c))
  elseif c[2] == CONCURRENT then b.v = b.v + 1
  else b.v = math.max(math.min(b.v + units, EXACT), 0) end
  b.dirty = true
end

-- The window a reservation is taken from now.
local function window_of(c)
  if c[2] == DAY or c[2] == MONTH then return bucket(c).at end
  return 0
end

-- Replaces a reservation by what was used. One of a window that has ended gives nothing back.
local function settle_charge(c, window, used)
  local b = bucket(c)
  if c[2] == CONCURRENT then
    b.v = math.max(b.v - 1, 0)
    b.dirty = true
  else
    local excess = used - c[6]
    if c[2] ~= RATE and window ~= b.at then excess = math.max(excess, 0) end
    take(c, excess)
  end
end

-- How much of a charge's unit was used; unit is that of policies/src/limit.rs in its order.
local function amount_of(c, used)
  local unit = c[7]
  if unit == 1 then return used[1] end
  if unit == 2 then return used[2] end
  if unit == 3 then return used[1] + used[2] end
  if unit == 4 then return used[3] end
  return 1
end

local function claim(c, me, at)
  local b = bucket(c)
  local held = b.claim
  local stronger = held and held.id ~= me.id
    and (held.rank < me.rank or (held.rank == me.rank and (held.aged or not me.aged)))
  if stronger then return end
  b.claim = { id = me.id, rank = me.rank, aged = me.aged, ends = at + CLAIM_SLACK }
  b.dirty = true
end

local function disclaim(c, id)
  local b = bucket(c)
  if b.claim and b.claim.id == id then b.claim, b.dirty = nil, true end
end

-- Whether a bucket equals a fresh one.
local function is_idle(b)
  if b.c[2] == RATE then return b.v >= brim(b.c) end
  return b.v <= 0
end

local function flush_buckets()
  local kept, gone = {}, {}
  for scope, b in pairs(buckets) do
    if b.dirty then
      local c, held = b.c, b.claim
      if not held and is_idle(b) then gone[#gone + 1] = scope
      else
        local value = struct.pack(PACKED, b.v, b.at, c[2], c[4], c[5], c[7], c[3], c[8])
        if held then
          value = value .. table.concat({ held.id, held.rank, held.aged and 1 or 0, text(held.ends) }, ' ')
        end
        kept[#kept + 1] = scope
        kept[#kept + 1] = value
      end
    end
  end
  if #kept > 0 then redis.call('HSET', LEVELS, unpack(kept)) end
  if #gone > 0 then redis.call('HDEL', LEVELS, unpack(gone)) end
end

-- The levels of an ask's charges as the caller computes with them: value, moment, claim's wait.
local function seen(charges, me)
  local out = {}
  for i, c in ipairs(charges) do
    local b = bucket(c)
    local held, wait = b.claim, 0
    if held and held.id ~= me.id and (me.rank > held.rank or (me.rank == held.rank and held.aged)) then
      wait = held.ends - now
    end
    out[3 * i - 2], out[3 * i - 1], out[3 * i] = b.v, b.at, wait
  end
  return out
end
