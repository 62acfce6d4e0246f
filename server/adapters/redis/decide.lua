-- Decides about a demand and charges all of it, or nothing. What was seen is answered: from that, the refusal and the limits
-- are worked out by the same rules that every other adapter has.
--
-- Asked: {now, effect, event, payload, price, units, limits, period_start, period_end, allowance, overage_max, is_closed,
-- occurred_at, reservation, ttl, excess_allowed}.
local effect, event, payload, price, limits = ask[2], ask[3], ask[4], ask[5], ask[7]

local fields = {'HMGET', key, 'i', 'h', 'g'}
for _, limit in ipairs(limits) do
  if not limit[7] then fields[#fields + 1] = 'c' .. limit[1] end
end
local found = call(unpack(fields))
if not installed(found) then return pack({'missing', now}) end
if is_due() then
  grants = unpacked(found[3])
  look_after()
  found[2], found[3] = pack(head), pack(grants)
end

local mark, is_abandoned
if effect ~= 'dry' then mark, is_abandoned = mark_of(event) end
if mark and not is_abandoned then
  if mark[1] ~= payload then return pack({'conflict', now}) end
  plan(limits, ask[6], found)
  local hold = ask[14] and call('HGET', key, 'r' .. ask[14])
  return pack({'replayed', now, found[2], found[3], standing(), mark[2], mark[3], mark[4], mark[5],
    hold and unpacked(hold)[3] or false})
end

if effect == 'dry' then
  for _, limit in ipairs(limits) do
    -- Whoever asked knows the period that a quota is read in.
    if limit[2] == QUOTA then limit.period = false end
  end
  plan(limits, ask[6], found)
  return pack({'seen', now, found[2], found[3], standing()})
end

local first, after = period(ask[8], ask[9])
if not first then return pack({'moved', now}) end
for _, limit in ipairs(limits) do
  if limit[2] == QUOTA then limit.period = first end
end
grants = grants or unpacked(found[3])

local function seen() return pack({'seen', now, found[2], found[3], standing()}) end

if ask[10] then
  local id, is_there = ask[10] .. string.format('%.0f', first), false
  for _, grant in ipairs(grants) do is_there = is_there or grant[1] == id end
  if not is_there then return seen() end
end
plan(limits, ask[6], found)
if effect ~= 'record' then
  if ask[12] then return seen() end
  for _, step in ipairs(steps) do
    if not fits(step) then return seen() end
  end
  if price > 0 then
    local overage = (head[3] == first and head[4] == after) and head[6] or 0
    local beyond = effect == 'hold' and 0 or max(ask[11] - overage, 0)
    if price - balance() > beyond then return seen() end
  end
end

advance(first, after)
local charges = {}
for _, step in ipairs(steps) do
  local is_charged = effect ~= 'record' or
    (step[4][2] == QUOTA and first <= ask[13] and ask[13] < after)
  if is_charged then charges[#charges + 1] = charge(step) end
end
local burns, overage = burn(max(price, 0))
head[6] = head[6] + overage
local expires_at = false
if effect == 'hold' then
  expires_at = now + ask[15]
  local before = call('HGET', key, 'r' .. ask[14])
  before = before and unpacked(before)
  call('HSET', key, 'r' .. ask[14], pack({burns, now, expires_at, ask[16], false, false}))
  if before and not before[5] then give_back(before[1]) end
end
local header, wallet = pack(head), pack(grants)
call('HSET', key, 'h', header, 'g', wallet)
local answer = {'charge', head[1], head[2], first, after, burns, overage, charges, expires_at}
keep(event, payload, price, answer)
return pack({'taken', now, header, wallet, standing(), answer})
