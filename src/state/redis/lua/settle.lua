-- Ends a lease or gives up a place: Store::settle. ARGV: epoch, lease time in ms, id, input, output,
-- cost. Returns { what, now, alarms }.

local lease_ms, id = tonumber(ARGV[2]), ARGV[3]
local used = { tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]) }
if close(id, function(c) return amount_of(c, used) end, lease_ms) then return { 'settled', now, flush() } end
-- A store that has lost the lease has another epoch; one that has it is the one that granted it.
if current() ~= ARGV[1] then return { 'epoch', now, {}, epoch } end
if leave(id, lease_ms) then return { 'left', now, flush() } end
-- It has expired, because the replica could not renew it: what was charged then is made up for.
local raw = redis.call('GET', P .. 'expired:' .. id)
if not raw then return { 'unknown', now, {} } end
redis.call('DEL', P .. 'expired:' .. id)
local windows, a = load_lease(raw)
for i, c in ipairs(charges_of(a)) do
  if windows[i] ~= '-' and c[2] ~= CONCURRENT then take(c, amount_of(c, used) - c[9]) end
end
return { 'expired', now, flush() }
