-- reserve takes a cost and slots from every account, or nothing.
--
-- KEYS of each account: its hash, its leases.
-- ARGV: the lease, how long it lasts in ms, requests, tokens, spend, slots;
-- then of each account: requests a minute and at once, tokens a minute and at
-- once, slots, budget, the window's first ms and its end, what was spent in it
-- before ('' if that is not known).
--
-- Returns what became of it, the time in µs, and of each account: the levels
-- of requests and of tokens, leases open, budget used and who opened it:
-- 'admitted' or 'refused'; 'unknown' where a budget's window is new, with 1 for
-- each such account; 'clock' where it is another window's time; 'dead' where
-- the lease was given up before it came here.

local now = clock()
local ms = math.floor(now / 1000)
local id, ttl = ARGV[1], tonumber(ARGV[2])
local requests, tokens, spend, slots = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

if redis.call('ZSCORE', KEYS[2], 'x' .. id) then return { 'dead', now } end

local accounts, unknown, any, refused = {}, {}, false, false
for i = 1, #KEYS / 2 do
  local v = {}
  for k = 1, 8 do v[k] = tonumber(ARGV[6 + 9 * (i - 1) + k]) end
  local spent = ARGV[6 + 9 * i]
  local a = read(KEYS[2 * i - 1], now, v[1], v[2], v[3], v[4])
  a.leases, a.budget = KEYS[2 * i], v[6]
  unknown[i] = 0
  if a.budget > 0 then
    if ms < v[7] or ms >= v[8] then return { 'clock', now } end
    local window = ARGV[6 + 9 * (i - 1) + 7] .. '-' .. ARGV[6 + 9 * (i - 1) + 8]
    if a.w ~= window then
      if spent == '' then
        unknown[i], any = 1, true
      else
        a.w, a.u, a.e, a.opened = window, tonumber(spent), id, true
      end
    end
    if spend > a.budget - a.u then refused = true end
  end
  a.open = redis.call('ZCOUNT', a.leases, '(' .. ms, '+inf')
  if slots > 0 and v[5] > 0 and a.open + slots > v[5] then refused = true end
  if lacks(a.r, requests) or lacks(a.t, tokens) then refused = true end
  accounts[i] = a
end
if any then return { 'unknown', now, unpack(unknown) } end

local reply = { refused and 'refused' or 'admitted', now }
for _, a in ipairs(accounts) do
  if not refused then
    if a.r.on then give(a.r, -requests) end
    if a.t.on then give(a.t, -tokens) end
    if a.budget > 0 then a.u = a.u + spend end
    redis.call('ZREMRANGEBYSCORE', a.leases, HOUR - ms, ms - HOUR)
    if slots == 1 then
      redis.call('ZADD', a.leases, ms + ttl, id)
    elseif slots == 0 then
      redis.call('ZADD', a.leases, -ms - ttl, id)
    else
      -- The slice itself is known by a lease that takes no slot.
      redis.call('ZADD', a.leases, ms - 1, id)
      for k = 1, slots do redis.call('ZADD', a.leases, ms + ttl, id .. ':' .. k) end
    end
    redis.call('PEXPIRE', a.leases, ttl + HOUR)
  end
  if not refused or a.opened or a.r.changed or a.t.changed then save(a, now) end
  for _, v in ipairs({ show(a.r), show(a.t), a.open, string.format('%.0f', a.u), a.e }) do reply[#reply + 1] = v end
end
return reply
