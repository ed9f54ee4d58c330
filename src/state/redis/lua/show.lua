-- What `/levels` shows of limits and pools. ARGV: epoch, cursor. Returns { now, cursor, levels
-- { scope, raw }, pools { name, raw fields }, replicas }; the pools come with the first page.

local page = redis.call('HSCAN', LEVELS, ARGV[2], 'COUNT', 500)
local levels, shown = {}, {}
for i = 1, #page[2], 2 do
  if page[2][i] ~= EPOCH then
    levels[#levels + 1] = page[2][i]
    levels[#levels + 1] = page[2][i + 1]
  end
end
if ARGV[2] == '0' then
  for _, name in ipairs(redis.call('SMEMBERS', NAMES)) do
    shown[#shown + 1] = { name, redis.call('HGETALL', P .. 'p:' .. name) }
  end
end
return { now, page[1], levels, shown, redis.call('ZCOUNT', P .. 'alive', text(now), '+inf') }
