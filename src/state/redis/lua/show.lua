-- What `/levels` shows of limits and pools. ARGV: epoch, cursor. Returns { now, cursor, levels
-- { scope, raw }, pools { name, raw fields }, leases, replicas }.

local page = redis.call('SCAN', ARGV[2], 'MATCH', string.gsub(P, '[%[%]%*%?\\]', '\\%0') .. '[lp]:*', 'COUNT', 500)
local levels, shown = {}, {}
for _, key in ipairs(page[2]) do
  local kind, name = string.sub(key, #P + 1, #P + 1), string.sub(key, #P + 3)
  if kind == 'l' then
    local raw = redis.call('GET', key)
    if raw then
      levels[#levels + 1] = name
      levels[#levels + 1] = raw
    end
  else shown[#shown + 1] = { name, redis.call('HGETALL', key) } end
end
redis.call('ZREMRANGEBYSCORE', P .. 'alive', '-inf', text(now))
return { now, page[1], levels, shown, redis.call('HLEN', LEASES), redis.call('ZCARD', P .. 'alive') }
