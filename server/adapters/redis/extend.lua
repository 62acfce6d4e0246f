-- Moves a living reservation's expiry and holds more for it, or changes nothing.
--
-- Asked: {now, event, payload, reservation, ttl, additional, period_start, period_end, latest}.
local event, payload, id, additional = ask[2], ask[3], ask[4], ask[6]
if not load() then return pack({'missing', now}) end

local mark, is_abandoned = mark_of(event)
if mark and not is_abandoned then
  if mark[1] ~= payload then return pack({'conflict', now}) end
  local hold = call('HGET', key, 'r' .. id)
  return pack({'replayed', now, pack(head), pack(grants), {}, mark[2], mark[3], mark[4], mark[5], hold})
end
local hold, gone = living(id)
if not hold then return pack({'gone', now, gone}) end
local first, after = period(ask[7], ask[8])
if not first then return pack({'moved', now}) end
if additional > balance() then
  return pack({'seen', now, pack(head), pack(grants), {}, pack(hold)})
end
advance()
if ask[5] then hold[3] = min(now + ask[5], hold[2] + ask[9]) end
local burns = burn(additional)
for _, more in ipairs(burns) do hold[1][#hold[1] + 1] = more end
put_hold(id, hold)
save()
local answer = {'extend', head[1], head[2], first, after, burns, total(hold[1]), hold[3]}
keep(event, payload, additional, answer)
return pack({'taken', now, pack(head), pack(grants), {}, answer})
