-- What every script begins with: what is asked, the time, and the tenant as it is installed. Before it stand the constants
-- that it has from Rust: PENDING_LIFE.
--
-- KEYS[1] is the tenant's hash; the names of all its other keys begin with it, and so have its hash tag. ARGV[1] is the
-- identity of the server that we were told of when we connected, ARGV[2] what is asked, in MessagePack.
--
-- The hash holds `i`, the identity under which it was installed; `h`, the header
-- {epoch, number, period_start, period_end, period_number, overage, corrected, tidied_at, life};
-- `g`, the grants {{id, priority, expires_at, remaining} …} in the order of burning; `c…`, a counter of the whole tenant;
-- `r…`, a reservation {held, opened_at, expires_at, excess_allowed, kind, ended_at}. `false` stands for none. Beside it lie
-- `:m:life`, the counters of members; `:f:life`, when each of them is free again; `:l:life:…`, the logs of sliding windows;
-- and `:e:…`, the marks of events. A life is one installation, so that none finds what another one left.
--
-- Numbers are doubles: moments, units and credits are below 2^53, and so exact.
local pack, unpacked, call = cmsgpack.pack, cmsgpack.unpack, redis.call
local fmod, max, min = math.fmod, math.max, math.min
local SECOND, MINUTE, HOUR = 1000000, 60000000, 3600000000
-- How long an idle tenant is kept, in milliseconds. What lies beside the hash is kept for longer, so that it never goes first.
local LIFE, LIFE_BESIDE = 3600000, 3720000
-- How far ahead of the clock a stored time may be.
local AHEAD = 5 * SECOND
local MARK_LIFE, MARK_LIFE_MS = HOUR, 3600000

local key, identity, ask = KEYS[1], ARGV[1], unpacked(ARGV[2])
local now = ask[1]
if not now then
  local time = call('TIME')
  now = time[1] * SECOND + time[2]
end

local head, grants, life

-- Takes the header; false: nothing is installed, or it was by another server.
local function installed(found)
  if found[1] ~= identity or not found[2] or not found[3] then return false end
  head = unpacked(found[2])
  life = head[9]
  return true
end

local function save()
  call('HSET', key, 'h', pack(head), 'g', pack(grants))
end

-- Forgets members that are free again, a thousand at once.
local function forget_members(moment)
  local free = call('ZRANGEBYSCORE', key .. ':f:' .. life, '-inf', moment - AHEAD, 'LIMIT', 0, 1000)
  if #free == 0 then return end
  call('ZREM', key .. ':f:' .. life, unpack(free))
  call('HDEL', key .. ':m:' .. life, unpack(free))
  for place = 1, #free do free[place] = key .. ':l:' .. life .. ':' .. free[place] end
  call('UNLINK', unpack(free))
end

-- Forgets what says nothing any longer at a moment; the grants must be loaded.
local function tidy(moment)
  forget_members(moment)
  local kept = {}
  for _, grant in ipairs(grants) do
    if not grant[3] or moment < grant[3] + HOUR then kept[#kept + 1] = grant end
  end
  grants = kept
  local fields = call('HGETALL', key)
  for place = 1, #fields, 2 do
    if string.sub(fields[place], 1, 1) == 'r' then
      local ended_at = unpacked(fields[place + 1])[6]
      if ended_at and moment >= ended_at + HOUR then call('HDEL', key, fields[place]) end
    end
  end
end

-- Once a minute the tenant is tidied, and given another hour to live. A clock that has stepped back is no reason to wait.
local function is_due() return math.abs(now - head[8]) >= MINUTE end

local function look_after()
  tidy(now)
  head[8] = now
  save()
  call('PEXPIRE', key, LIFE)
  call('PEXPIRE', key .. ':m:' .. life, LIFE_BESIDE)
  call('PEXPIRE', key .. ':f:' .. life, LIFE_BESIDE)
end

local function load()
  local found = call('HMGET', key, 'i', 'h', 'g')
  if not installed(found) then return false end
  grants = unpacked(found[3])
  if is_due() then look_after() end
  return true
end

-- A mark is {payload, at, price, durable, answer}; the answer is false where price and time say all.
local function mark_of(event)
  local raw = call('GET', key .. ':e:' .. event)
  if not raw then return false end
  local mark = unpacked(raw)
  local age = now - mark[2]
  if age > MARK_LIFE then return false end
  return mark, not mark[4] and age > PENDING_LIFE
end

local function keep(event, payload, price, answer)
  call('SET', key .. ':e:' .. event, pack({payload, now, price, false, answer}), 'PX', MARK_LIFE_MS)
end
