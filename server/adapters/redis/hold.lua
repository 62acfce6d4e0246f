-- Reservations: looks for one that lives.
local function living(id)
  local raw = call('HGET', key, 'r' .. id)
  if not raw then return false, 'unknown' end
  local hold = unpacked(raw)
  if hold[5] then return false, hold[5] end
  if hold[3] <= now then return false, 'expired' end
  return hold
end

local function put_hold(id, hold) call('HSET', key, 'r' .. id, pack(hold)) end
