-- Charges what was used without a lease while the store could not be reached. ARGV: epoch, id of
-- the report, then charges with what was used in the place of what is asked. Idempotent by the id.
-- Returns { what, now, alarms }.

if current() ~= ARGV[1] then return { 'epoch', now, {}, epoch } end
if redis.call('SET', P .. 'report:' .. ARGV[2], '1', 'NX', 'PX', 3600000) then
  for i = 3, #ARGV do
    local c = cjson.decode(ARGV[i])
    take(c, c[6])
  end
end
return { 'ok', now, flush() }
