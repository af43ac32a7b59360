-- settle replaces what leases took by what was used, each once.
--
-- KEYS of each account: its hash, its leases.
-- ARGV: how many leases; of each account: requests a minute and at once, tokens
-- a minute and at once (as they were when the leases were opened, 0 where there
-- was no limit), the budget's window, who had opened it then, and who is known
-- to have opened it now; then of each lease: how, its name, requests, tokens
-- and spend taken, the same used, and which slots of a slice go with it; or what
-- to charge of spend where another one has opened the window.
--
-- Returns 1 if a window to charge is not open, and who opened the last one.
--
-- How is 'settle'; 'cancel', for a reservation that may yet come and shall not
-- hold then; or 'charge', for what was used while nobody could ask here: the
-- budget is charged all of it, the buckets as much as they have.
--
-- A lease that is not here was settled before, unless the state was lost
-- meanwhile: then the ledger told what was spent, without what ran. That has
-- been charged to a window which another one has opened, and is charged now.

local now = clock()
local ms = math.floor(now / 1000)
local n, count = tonumber(ARGV[1]), #KEYS / 2
local missing, opener = 0, ''

-- once marks a name in a set and reports whether it was not marked before.
local function once(set, id)
  local new = redis.call('ZADD', set, 'NX', ms - 1, 'm' .. id) == 1
  redis.call('PEXPIRE', set, HOUR)
  return new
end

-- give_up sees to it that a reservation does not hold if it comes yet.
local function give_up(set, id)
  redis.call('ZADD', set, ms - 1, 'x' .. id)
  redis.call('PEXPIRE', set, HOUR)
end

-- back returns taken allowance to a bucket in the fraction that it was, if the
-- lease took any. A bucket that is gone was full. What it lacks to pay all of a
-- charge is forgiven.
local function back(s, p, b, n, forgive)
  if b == 0 then return s end
  if not s.p then s = bucket(nil, nil, nil, nil, now, p, b) end
  if s.b ~= b then n = n / b * s.b end
  if forgive then n = math.max(n, -math.max(0, s.level)) end
  give(s, n)
  return s
end

-- settle does one lease on an account.
local function settle(a, set, v, lease)
  local requests, tokens, spend = lease[3] - lease[6], lease[4] - lease[7], lease[5] - lease[8]
  local how, id = lease[1], lease[2]
  local charge = how == 'charge'
  if charge then
    if v[5] ~= '' and not a.same and ms < tonumber(string.match(v[5], '%-(%d+)$')) then
      missing = 1
      return
    end
    if not once(set, id) then return end
    if a.same then a.u = a.u + ((a.e == v[7] or v[7] == '*') and lease[8] or lease[9]) end
    requests, tokens = math.min(0, requests), math.min(0, tokens)
  elseif redis.call('ZREM', set, id) == 1 then
    if a.same and (how == 'cancel' or a.e == v[6]) then
      a.u = a.u - spend
    elseif a.same and (a.e == v[7] or v[7] == '*') and once(set, id) then
      a.u = a.u + lease[8]
    end
  else
    if how == 'cancel' then return give_up(set, id) end
    if not a.same or a.e == v[6] or a.e ~= v[7] and v[7] ~= '*' or not once(set, id) then return end
    a.u, a.changed = a.u + lease[8], true
    return
  end
  a.r = back(a.r, tonumber(v[1]), tonumber(v[2]), requests, charge)
  a.t = back(a.t, tonumber(v[3]), tonumber(v[4]), tokens, charge)
  a.changed = true
end

for i = 1, count do
  local v = {}
  for k = 1, 7 do v[k] = ARGV[1 + 7 * (i - 1) + k] end
  local a = read(KEYS[2 * i - 1], now, 0, 0, 0, 0)
  a.same = v[5] ~= '' and a.w == v[5]
  for k = 1, n do
    local lease = {}
    for m = 1, 10 do
      local text = ARGV[1 + 7 * count + 10 * (k - 1) + m]
      lease[m] = m > 2 and tonumber(text) or text
    end
    settle(a, KEYS[2 * i], v, lease)
    for slot = lease[9], lease[1] == 'charge' and -1 or lease[10] do redis.call('ZREM', KEYS[2 * i], lease[2] .. ':' .. slot) end
  end
  if a.changed then save(a, now) end
  opener = a.e
end
return { missing, opener }
