-- What happens to a tenant beside decisions: installation, grants, outcomes, what ends by time, and corrections.
--
-- Asked: {now, operation, …}; each operation says what else.
local MICROS_MAX = 9000000000000000

-- Whether one text comes before another, byte by byte: Lua's own comparison depends on the server's locale.
local function is_before(one, other)
  for place = 1, min(#one, #other) do
    local left, right = string.byte(one, place), string.byte(other, place)
    if left ~= right then return left < right end
  end
  return #one < #other
end

local function burns_before(one, other)
  if one[2] ~= other[2] then return one[2] < other[2] end
  local left, right = one[3] or math.huge, other[3] or math.huge
  if left ~= right then return left < right end
  return is_before(one[1], other[1])
end

local function add(burns, sign)
  for _, burn in ipairs(burns) do
    for _, grant in ipairs(grants) do
      if grant[1] == burn[1] then grant[4] = grant[4] + sign * burn[2] end
    end
  end
end

-- Opens a reservation again as the ledger has it, unless it was opened or said anew since: what its end took goes back, and
-- what is held is taken, also below zero.
local function revive(id, ended_at, lives)
  local raw = call('HGET', key, 'r' .. id)
  local hold = raw and unpacked(raw)
  if hold and (not hold[5] or hold[6] ~= ended_at) or not hold and ended_at then return end
  if hold and hold[7] then
    add(hold[7], 1)
    head[6] = max(head[6] - hold[8], 0)
  end
  add(lives[1], -1)
  put_hold(id, lives)
end

local operations = {}

-- {…, {{event, payload, at, price} …}}: marks of events that the ledger has.
function operations.marks()
  if load() then return {'known', now} end
  for _, known in ipairs(ask[3]) do
    local mark, is_abandoned = mark_of(known[1])
    local left = math.floor((known[3] + MARK_LIFE - now) / 1000)
    if (not mark or is_abandoned) and left > 0 then
      call('SET', key .. ':e:' .. known[1], pack({known[2], known[3], known[4], true, false}), 'PX',
        string.format('%.0f', min(left + 60000, MARK_LIFE_MS)))
    end
  end
  return {'done', now}
end

-- {…, life, {{log, {{at, units} …}} …}, {{member, counter, free_at} …}}: a part of what will lie beside the hash of a life
-- that is not installed yet.
function operations.part()
  if load() then return {'known', now} end
  local beside = ask[3]
  for number, log in ipairs(ask[4]) do
    local name = key .. ':l:' .. beside .. ':' .. log[1]
    for place, entry in ipairs(log[2]) do
      call('ZADD', name, entry[1], string.format('i%d.%.0f:%.0f', place, entry[1], entry[2]))
    end
    call('PEXPIRE', name, 2 * LIFE)
  end
  for _, member in ipairs(ask[5]) do
    call('HSET', key .. ':m:' .. beside, member[1], member[2])
    call('ZADD', key .. ':f:' .. beside, member[3], member[1])
  end
  call('PEXPIRE', key .. ':m:' .. beside, LIFE_BESIDE)
  call('PEXPIRE', key .. ':f:' .. beside, LIFE_BESIDE)
  return {'done', now}
end

-- {…, header, grants, {field, value …}}: the tenant, where none is installed under this identity.
function operations.install()
  if load() then return {'known', now} end
  call('DEL', key)
  head, grants = ask[3], ask[4]
  head[8] = now
  call('HSET', key, 'i', identity)
  for place = 1, #ask[5], 2 do call('HSET', key, ask[5][place], ask[5][place + 1]) end
  save()
  call('PEXPIRE', key, LIFE)
  return {'done', now}
end

-- {…, {id, priority, expires_at, remaining}}
function operations.grant()
  if not load() then return {'missing', now} end
  local grant, place = ask[3], 1
  for _, known in ipairs(grants) do
    if known[1] == grant[1] then return {'known', now} end
    if burns_before(known, grant) then place = place + 1 end
  end
  table.insert(grants, place, grant)
  advance()
  save()
  return {'done', now}
end

-- {…, {{reservation, opened_at or false} …}, {grant …}}
function operations.expired()
  if not load() then return {'missing', now} end
  advance()
  for _, over in ipairs(ask[3]) do
    local id, opened_at = over[1], over[2]
    local raw = call('HGET', key, 'r' .. id)
    local hold = raw and unpacked(raw)
    if hold and not hold[5] and (not opened_at or hold[2] == opened_at) then
      hold[5], hold[6] = 'expired', now
      put_hold(id, hold)
      give_back(hold[1])
    end
  end
  local closed, kept = {}, {}
  for _, id in ipairs(ask[4]) do closed[id] = true end
  for _, grant in ipairs(grants) do
    if not closed[grant[1]] then kept[#kept + 1] = grant end
  end
  grants = kept
  save()
  return {'done', now}
end

-- {…, event, completion, outcome}
function operations.complete()
  if not load() then return {'missing', now} end
  local mark, is_abandoned = mark_of(ask[3])
  if not mark or is_abandoned then return {'missing', now} end
  mark, is_abandoned = mark_of(ask[4])
  if not mark or is_abandoned then
    keep(ask[4], ask[5], 0, false)
    return {'done', now}
  end
  if mark[1] ~= ask[5] then return {'conflict', now} end
  return {'replayed', now, mark[4]}
end

-- {…, {event …}}: the ledger has them. A charge need not be journalled again, so that its answer is not kept any longer.
function operations.committed()
  for _, event in ipairs(ask[3]) do
    local name = key .. ':e:' .. event
    local raw = call('GET', name)
    local mark = raw and unpacked(raw)
    if mark and not mark[4] then
      mark[4] = true
      if mark[5] and mark[5][1] == 'charge' then mark[5] = false end
      call('SET', name, pack(mark), 'KEEPTTL')
    end
  end
  return {'done', now}
end

-- {…}: all that is known of the tenant, but of each sliding log only the sum.
function operations.read()
  if not load() then return {'missing', now} end
  return {'done', now, pack(head), pack(grants), call('HGETALL', key), call('HGETALL', key .. ':m:' .. life)}
end

-- {…, epoch, number, {{limit, member, units} …}, {{grant, micros} …}, overage, {{reservation, ended_at or false,
-- hold} …}}
function operations.correct()
  if not load() then return {'missing', now} end
  local number = ask[4]
  -- One that was posted since its counters were read has given back what this one would give back again.
  if head[1] ~= ask[3] or head[7] and head[7] > number then return {'known', now} end
  advance()
  head[7] = head[2]
  -- A period that was opened since then does not have what the ledger was asked about.
  local is_same_period = number >= head[5]
  if is_same_period then head[6] = max(head[6] + ask[7], 0) end
  for _, wrong in ipairs(ask[5]) do
    local hash, field = key, 'c' .. wrong[1]
    if wrong[2] ~= '' then hash, field = key .. ':m:' .. life, wrong[1] .. wrong[2] end
    local raw = call('HGET', hash, field)
    local counter = raw and unpacked(raw)
    if counter and (counter[1] == 3 or counter[1] == 4 and is_same_period) then
      counter[3] = max(counter[3] + wrong[3], 0)
      call('HSET', hash, field, pack(counter))
    end
  end
  for _, wrong in ipairs(ask[6]) do
    for _, grant in ipairs(grants) do
      if grant[1] == wrong[1] then grant[4] = min(max(grant[4] + wrong[2], -MICROS_MAX), MICROS_MAX) end
    end
  end
  for _, lives in ipairs(ask[8]) do revive(lives[1], lives[2], lives[3]) end
  save()
  return {'done', now}
end

return pack(operations[ask[2]]())
