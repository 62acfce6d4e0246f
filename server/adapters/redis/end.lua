-- Ends a living reservation: takes the price out of the hold and frees the rest.
--
-- Asked: {now, event, payload, reservation, price, kind, period_start, period_end}.
local event, payload, id, price = ask[2], ask[3], ask[4], ask[5]
if not load() then return pack({'missing', now}) end

local mark, is_abandoned = mark_of(event)
local raw = mark and call('HGET', key, 'r' .. id)
local hold = raw and unpacked(raw)
-- An end that was abandoned is nothing any more where its reservation was revived.
if mark and not (is_abandoned and hold and not hold[5]) then
  if mark[1] ~= payload then
    return pack({'gone', now, hold and (hold[5] or 'expired') or 'unknown'})
  end
  if is_abandoned then
    -- The journal does not have it: it is said anew, as long as the reservation would still live.
    if not hold or hold[3] <= now then return pack({'gone', now, 'expired'}) end
    advance()
    save()
    if hold[5] then
      hold[6] = now
      put_hold(id, hold)
    end
    mark[2], mark[5][2], mark[5][3] = now, head[1], head[2]
    keep(event, payload, mark[3], mark[5])
  end
  return pack({'replayed', now, pack(head), pack(grants), {}, mark[2], mark[3], mark[4], mark[5], raw})
end
local gone
hold, gone = living(id)
if not hold then return pack({'gone', now, gone}) end
local held = total(hold[1])
if price > held and not hold[4] then return pack({'above', now, held}) end
local first, after = period(ask[7], ask[8])
if not first then return pack({'moved', now}) end

local paid, released = split(hold[1], price)
advance(first, after)
give_back(released)
local excess, overage = burn(max(price - held, 0))
head[6] = head[6] + overage
hold[5], hold[6], hold[7], hold[8] = ask[6], now, joined(paid, excess), overage
put_hold(id, hold)
save()
local answer = {'end', head[1], head[2], first, after, paid, released, excess, overage}
keep(event, payload, price, answer)
return pack({'taken', now, pack(head), pack(grants), {}, answer})
