-- renew lets leases last from now on, those that are still open.
--
-- KEYS: sets of leases. ARGV: how long they last in ms; then of each lease: the
-- number of its set, its name, and whether it takes a slot (1 or 0).

local ms = math.floor(clock() / 1000)
local ttl = tonumber(ARGV[1])
for k = 2, #ARGV, 3 do
  local expiry = ms + ttl
  if ARGV[k + 2] == '0' then expiry = -expiry end
  redis.call('ZADD', KEYS[tonumber(ARGV[k])], 'XX', expiry, ARGV[k + 1])
end
for _, set in ipairs(KEYS) do
  redis.call('PEXPIRE', set, ttl + HOUR)
end
return ms
