-- What all scripts share: the clock and the state of one account.
--
-- An account is a hash and a set of leases. The hash has a bucket of requests
-- (rp rb rl rt) and one of tokens (tp tb tl tt): allowance a minute, burst,
-- level, and the microsecond of that level; and a budget: its window (w), what
-- is used in it (u), and who opened it (e). The set has each lease by its
-- expiry in milliseconds, below zero where it takes no slot, and is swept an hour
-- after that.

local HOUR = 3600000
local MOST = 9007199254740992

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- bucket returns a bucket at a time under the limits given. Where there is no
-- limit it goes on as it was. Nothing flows in while the clock is behind it.
local function bucket(p, b, level, at, now, perMinute, burst)
  local s = { on = perMinute > 0 }
  if not p then
    if not s.on then return s end
    s.p, s.b, s.level, s.at, s.changed = perMinute, burst, burst, now, true
    return s
  end
  s.p, s.b, s.at = tonumber(p), tonumber(b), math.max(now, tonumber(at))
  s.level = math.min(s.b, tonumber(level) + (s.at - tonumber(at)) * s.p / 60000000)
  if s.on and (s.p ~= perMinute or s.b ~= burst) then
    s.level, s.changed = s.level / s.b * burst, true
    s.p, s.b = perMinute, burst
  end
  return s
end

-- lacks reports whether n is more than the bucket has, beyond what a float
-- may have lost.
local function lacks(s, n)
  return s.on and n > s.level + s.b * 1e-14
end

-- give puts n, which may be negative, into a bucket.
local function give(s, n)
  s.level, s.changed = math.min(s.b, s.level + n), true
end

-- read returns the account of a key under limits: requests and tokens, each
-- with its burst.
local function read(key, now, rp, rb, tp, tb)
  local h = redis.call('HMGET', key, 'rp', 'rb', 'rl', 'rt', 'tp', 'tb', 'tl', 'tt', 'w', 'u', 'e')
  return {
    key = key,
    r = bucket(h[1], h[2], h[3], h[4], now, rp, rb),
    t = bucket(h[5], h[6], h[7], h[8], now, tp, tb),
    w = h[9] or '', u = tonumber(h[10] or 0), e = h[11] or '',
  }
end

-- show returns a level such that nothing of it is lost.
local function show(s)
  if not s.p then return '' end
  return string.format('%.17g', s.level)
end

local function put(s, prefix, fields)
  if not s.p then return 0 end
  for name, value in pairs({ p = s.p, b = s.b, l = s.level, t = s.at }) do
    fields[#fields + 1] = prefix .. name
    fields[#fields + 1] = string.format('%.17g', value)
  end
  return (s.b - s.level) / s.p * 60000
end

-- save stores an account until it is as good as new: its buckets full, and the
-- window of its budget an hour past.
local function save(a, now)
  local fields = {}
  local last = math.max(put(a.r, 'r', fields), put(a.t, 't', fields))
  if a.w ~= '' then
    a.u = math.max(0, math.min(MOST, a.u))
    for _, v in ipairs({ 'w', a.w, 'u', string.format('%.0f', a.u), 'e', a.e }) do fields[#fields + 1] = v end
    last = math.max(last, tonumber(string.match(a.w, '%-(%d+)$')) - now / 1000 + HOUR)
  end
  if #fields == 0 then return end
  redis.call('HSET', a.key, unpack(fields))
  redis.call('PEXPIRE', a.key, string.format('%.0f', math.min(last, 3e12) + 10000))
end
