-- Looks whether time has made room in pools, or holds one. ARGV: epoch, lease time in ms, hold in
-- ms, pools. Returns { what, now, alarms }.

if current() ~= ARGV[1] then return { 'epoch', now, {}, epoch } end
local hold = tonumber(ARGV[3])
for i = 4, #ARGV do
  if hold > 0 then
    local p = load_pool(ARGV[i])
    if p.cfg == '' then redis.call('SADD', NAMES, ARGV[i]) end
    if now + hold > p.hold then set(p, 'hold', now + hold) end
  end
  dispatch(ARGV[i], tonumber(ARGV[2]))
end
return { 'ok', now, flush() }
