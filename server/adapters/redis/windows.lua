-- Windows and quotas, as they stand and as a charge leaves them.
--
-- A counter is {SLIDING, newest, units, oldest}, {BUCKET, at, units, parts}, {FIXED, start, used} or
-- {QUOTA, period_start, used}. The entries of a sliding log lie beside it, in a sorted set by their time, as `number:units`.
-- A step is a counter that the call stands on: {index, member, units, limit, counter}, with the limit as it was asked about:
-- {key, kind, window, limit, burst, name, members}.
local SLIDING, BUCKET, FIXED, QUOTA = 1, 2, 3, 4
local MEMBERS_MAX, SHARED = 100000, '*'

local steps = {}

local function log_of(step) return key .. ':l:' .. life .. ':' .. step[4][1] .. step[2] end

local function units_of(entry) return tonumber(string.match(entry, ':(%d+)$')) end

local function sum_of(log, from, to)
  local sum = 0
  for _, entry in ipairs(call('ZRANGEBYSCORE', log, from, to)) do sum = sum + units_of(entry) end
  return sum
end

-- The whole part and the rest of a * b / c, exactly; a and b are below 2^53, c below 2^42. A whole part beyond 2^53 may be
-- rounded: it is more than any bucket holds.
local function muldiv(a, b, c)
  local product = a * b
  if product < 9007199254740992 then
    local rest = fmod(product, c)
    return (product - rest) / c, rest
  end
  local a_low, b_low = fmod(a, c), fmod(b, c)
  local whole, rest, scale = 0, 0, 1099511627776
  for _ = 1, 5 do
    local digit = math.floor(b_low / scale)
    b_low = b_low - digit * scale
    scale = scale / 1024
    local sum = rest * 1024 + a_low * digit
    rest = fmod(sum, c)
    whole = whole * 1024 + (sum - rest) / c
  end
  return (a - a_low) / c * b + a_low * ((b - fmod(b, c)) / c) + whole, rest
end

-- What is missing from a bucket now: whole units, and parts of one.
local function missing(counter, limit)
  local units, parts = counter[3], counter[4]
  if units >= limit[5] then units, parts = limit[5], 0 end
  local elapsed = now - counter[2]
  if elapsed > 0 then
    local whole, rest = muldiv(elapsed, limit[4], limit[3])
    units, parts = units - whole, parts - rest
    if parts < 0 then units, parts = units - 1, parts + limit[3] end
    if units < 0 then return 0, 0 end
  end
  return units, parts
end

-- The units used of a step's counter.
local function used_of(step)
  local limit, counter = step[4], step[5]
  if not counter then return 0 end
  local kind = limit[2]
  if kind == BUCKET then
    local units, parts = missing(counter, limit)
    return parts > 0 and units + 1 or units
  elseif kind == FIXED then
    return now - fmod(now, limit[3]) > counter[2] and 0 or counter[3]
  elseif kind == SLIDING then
    local cut = max(counter[2], now) - limit[3]
    if counter[2] <= cut then return 0 end
    if counter[4] > cut then return counter[3] end
    local log = log_of(step)
    -- Sums up whichever part is shorter.
    if 2 * call('ZCOUNT', log, '-inf', cut) <= call('ZCARD', log) then
      return counter[3] - sum_of(log, '-inf', cut)
    end
    return sum_of(log, string.format('(%.0f', cut), '+inf')
  end
  return counter[2] == limit.period and counter[3] or 0
end

local function put(step)
  if step[2] == '' then
    call('HSET', key, 'c' .. step[4][1], pack(step[5]))
  elseif call('HSET', key .. ':m:' .. life, step[4][1] .. step[2], pack(step[5])) > 0 then
    call('PEXPIRE', key .. ':m:' .. life, LIFE_BESIDE)
  end
end

-- Pulls back a time that is too far ahead of the clock: what was used stays used, and ages on from now.
local function pull_back(step)
  local counter, kind = step[5], step[4][2]
  if not counter or kind == QUOTA then return end
  local ahead = counter[2] - now
  if ahead <= AHEAD then return end
  if kind == FIXED then
    counter[2] = now - fmod(now, step[4][3])
  else
    counter[2] = now
  end
  if kind == SLIDING then
    local log = log_of(step)
    local entries = call('ZRANGE', log, 0, -1, 'WITHSCORES')
    for place = 1, #entries, 2 do call('ZADD', log, entries[place + 1] - ahead, entries[place]) end
    counter[4] = counter[4] - ahead
  end
  put(step)
end

local function stand(index, limit, member, units, raw)
  local step = {index, member, units, limit, raw and unpacked(raw)}
  pull_back(step)
  step[6] = used_of(step)
  steps[#steps + 1] = step
end

-- One step for each member that is counted on its own, and one for the others together. A new member comes to the shared
-- counter while the table is full, and as long as that counter holds anything.
local function stand_members(index, limit, units)
  local members_key, free_key = key .. ':m:' .. life, key .. ':f:' .. life
  local newcomers, shared = 0, 0
  for _, member in ipairs(limit[7]) do
    local raw = call('HGET', members_key, limit[1] .. member)
    local is_own = raw
    if not is_own then
      if call('ZCARD', free_key) + newcomers >= MEMBERS_MAX then forget_members(now) end
      local free_at = call('ZSCORE', free_key, limit[1] .. SHARED)
      is_own = (not free_at or free_at + AHEAD <= now) and call('ZCARD', free_key) + newcomers < MEMBERS_MAX
    end
    if is_own then
      if not raw then newcomers = newcomers + 1 end
      stand(index, limit, member, units, raw)
    else
      shared = shared + units
    end
  end
  if shared > 0 then
    stand(index, limit, SHARED, shared, call('HGET', members_key, limit[1] .. SHARED))
  end
end

-- Stands on all counters; `raws` are those of the whole tenant, from the fourth on.
local function plan(limits, units, raws)
  local next_raw = 4
  for index, limit in ipairs(limits) do
    if limit[7] then
      stand_members(index, limit, units)
    else
      stand(index, limit, '', units, raws[next_raw])
      next_raw = next_raw + 1
    end
  end
end

local function remaining(step)
  local limit = step[4]
  if limit[2] == BUCKET then return limit[5] - step[6] end
  return max(limit[4] - step[6], 0)
end

local function fits(step) return not step[4][4] or step[3] <= remaining(step) end

-- Charges a step, whether it fits or not, and says what the record keeps of it.
local function charge(step)
  local limit, units, before = step[4], step[3], step[6]
  local kind, counter = limit[2], step[5]
  local free_at
  if kind == BUCKET then
    local missed, parts = 0, 0
    if counter then missed, parts = missing(counter, limit) end
    counter = {BUCKET, max(counter and counter[2] or now, now), missed + units, parts}
    free_at = counter[2] + math.ceil((counter[3] * limit[3] + parts) / limit[4]) + 1
    step[6] = parts > 0 and counter[3] + 1 or counter[3]
  elseif kind == SLIDING then
    local log, time, ttl = log_of(step), now, limit[3] / 1000 + LIFE
    local minute
    if counter then
      time, minute = max(counter[2], now), math.floor(counter[2] / MINUTE)
      local cut = time - limit[3]
      if counter[2] <= cut then
        call('DEL', log)
        counter, minute = nil, nil
      elseif counter[4] <= cut then
        call('ZREMRANGEBYSCORE', log, '-inf', cut)
        counter[4] = tonumber(call('ZRANGE', log, 0, 0, 'WITHSCORES')[2])
      end
    end
    call('ZADD', log, time, string.format('%.0f:%.0f', head[2], units))
    if minute ~= math.floor(time / MINUTE) then call('PEXPIRE', log, string.format('%.0f', math.ceil(ttl))) end
    counter = {SLIDING, time, before + units, counter and counter[4] or time}
    free_at = time + limit[3]
    step[6] = counter[3]
  else
    local start = limit.period
    if kind == FIXED then start = max(now - fmod(now, limit[3]), counter and counter[2] or 0) end
    counter = {kind, start, before + units}
    free_at = start + limit[3]
    step[6] = counter[3]
  end
  step[5] = counter
  put(step)
  if step[2] ~= '' and call('ZADD', key .. ':f:' .. life, free_at, limit[1] .. step[2]) > 0 then
    call('PEXPIRE', key .. ':f:' .. life, LIFE_BESIDE)
  end
  return {limit[1], step[2], limit[6], kind, units, before, step[6], limit[4], limit[3], counter[2]}
end

-- A sliding log in few words: its newest entry, what is in the window, and, where the call does not fit, the entry with
-- which enough will have left, and all that has left by then.
local function log_in_short(step)
  local limit, used, units = step[4], step[6], step[3]
  if used == 0 then return false end
  local newest, room = step[5][2], limit[4] - units
  if used <= room or room < 0 then return {SLIDING, newest, used, false, 0} end
  local cut = string.format('(%.0f', max(newest, now) - limit[3])
  local gone, offset = 0, 0
  while true do
    local page = call('ZRANGEBYSCORE', log_of(step), cut, '+inf', 'WITHSCORES', 'LIMIT', offset, 64)
    for place = 1, #page, 2 do
      gone = gone + units_of(page[place])
      if used - gone <= room then return {SLIDING, newest, used, tonumber(page[place + 1]), gone} end
    end
    if #page == 0 then return {SLIDING, newest, used, newest, used} end
    offset = offset + 64
  end
end

-- The steps as they stand, for the answer.
local function standing()
  local seen = {}
  for place, step in ipairs(steps) do
    local counter = step[5] or false
    if counter and step[4][2] == SLIDING then counter = log_in_short(step) end
    seen[place] = {step[1], step[2], counter}
  end
  return seen
end
