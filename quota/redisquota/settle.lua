-- settle replaces what leases took by what was used, each once.
--
-- KEYS of each account: its hash, its leases.
-- ARGV: how many leases; of each account: requests a minute and at once, tokens
-- a minute and at once (as they were when the leases were opened, 0 where there
-- was no limit), the budget's window, who had opened it then, and who is known
-- to have opened it now; then of each lease: how, its name, requests, tokens
-- and spend taken, and the same used.
--
-- How is 'settle'; 'cancel', for a reservation that may yet come and shall not
-- hold then; or 'charge', for what no lease here has taken.
--
-- A lease that is not here was settled before, unless the state was lost
-- meanwhile: then the ledger told what was spent, without what ran. That has
-- been charged to a window which another one has opened, and is charged now.

local now = clock()
local ms = math.floor(now / 1000)
local n, count = tonumber(ARGV[1]), #KEYS / 2

local function leases(i, a, reserved, known)
  local requests, tokens, changed = 0, 0, false
  for k = 1, n do
    local at = 1 + 7 * count + 8 * (k - 1)
    local how, id = ARGV[at + 1], ARGV[at + 2]
    local taken = tonumber(ARGV[at + 5])
    local used = tonumber(ARGV[at + 8])
    local set = KEYS[2 * i]
    local here = redis.call('ZREM', set, id) == 1
    if here then
      requests = requests + tonumber(ARGV[at + 3]) - tonumber(ARGV[at + 6])
      tokens = tokens + tonumber(ARGV[at + 4]) - tonumber(ARGV[at + 7])
      changed = true
    elseif how == 'cancel' then
      redis.call('ZADD', set, ms - 1, 'x' .. id)
      redis.call('PEXPIRE', set, HOUR)
    end
    if how == 'charge' then taken, used = 0, used - taken end
    if a.same and here and a.e == reserved then
      a.u = a.u + used - taken
    elseif a.same and how ~= 'cancel' and a.e ~= reserved and (a.e == known or known == '*')
      and redis.call('ZADD', set, 'NX', ms - 1, 'm' .. id) == 1 then
      a.u, changed = a.u + used, true
      redis.call('PEXPIRE', set, HOUR)
    end
  end
  return requests, tokens, changed
end

-- back returns taken allowance to a bucket in the fraction that it was, if the
-- lease took any. A bucket that is gone was full.
local function back(s, p, b, n, now)
  if b == 0 then return s end
  if not s.p then s = bucket(nil, nil, nil, nil, now, p, b) end
  give(s, s.b == b and n or n / b * s.b)
  return s
end

for i = 1, count do
  local v = {}
  for k = 1, 7 do v[k] = ARGV[1 + 7 * (i - 1) + k] end
  local a = read(KEYS[2 * i - 1], now, 0, 0, 0, 0)
  a.same = v[5] ~= '' and a.w == v[5]
  local requests, tokens, changed = leases(i, a, v[6], v[7])
  if changed then
    a.r = back(a.r, tonumber(v[1]), tonumber(v[2]), requests, now)
    a.t = back(a.t, tonumber(v[3]), tonumber(v[4]), tokens, now)
    save(a, now)
  end
end
return now
