-- renew lets leases last from now on, those that are still open.
--
-- KEYS: sets of leases. ARGV: how long they last in ms; then of each lease: the
-- number of its set, and its name.

local ms = math.floor(clock() / 1000)
local ttl = tonumber(ARGV[1])
for k = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[tonumber(ARGV[k])], 'XX', ms + ttl, ARGV[k + 1])
end
for _, set in ipairs(KEYS) do
  redis.call('PEXPIRE', set, ttl + HOUR)
end
return ms
