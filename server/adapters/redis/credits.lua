-- Credits: grants {id, priority, expires_at, remaining} burn in their order, and burns are {{grant, micros} …}.

local function is_live(grant) return not grant[3] or now < grant[3] end

local function balance()
  local sum = 0
  for _, grant in ipairs(grants) do
    -- What one grant lacks is no debt of another.
    if is_live(grant) then sum = sum + max(grant[4], 0) end
  end
  return sum
end

-- Takes as much of the price as the live grants have, and says what no grant covered.
local function burn(price)
  local burns = {}
  for _, grant in ipairs(grants) do
    local micros = min(grant[4], price)
    if micros > 0 and is_live(grant) then
      grant[4] = grant[4] - micros
      price = price - micros
      burns[#burns + 1] = {grant[1], micros}
    end
  end
  return burns, price
end

-- Gives back what was held to the grants that still serve.
local function give_back(burns)
  for _, burn in ipairs(burns) do
    for _, grant in ipairs(grants) do
      if grant[1] == burn[1] and is_live(grant) then grant[4] = grant[4] + burn[2] end
    end
  end
end

-- Splits what is held into what the price takes and what is left.
local function split(held, price)
  local paid, left = {}, {}
  for _, burn in ipairs(held) do
    local micros = min(burn[2], price)
    price = price - micros
    if micros > 0 then paid[#paid + 1] = {burn[1], micros} end
    if burn[2] > micros then left[#left + 1] = {burn[1], burn[2] - micros} end
  end
  return paid, left
end

local function joined(burns, more)
  local all = {}
  for _, burn in ipairs(burns) do all[#all + 1] = burn end
  for _, burn in ipairs(more) do all[#all + 1] = burn end
  return all
end

local function total(burns)
  local sum = 0
  for _, burn in ipairs(burns) do sum = sum + burn[2] end
  return sum
end

-- The period that counts now: the open one until it ends, then the one that we were told of, from where the other ended.
-- None: the clock is in neither (rule N).
local function period(first, after)
  if head[4] and now < head[4] then return head[3], head[4] end
  if now < first or now >= after then return nil end
  return max(first, head[4] or first), after
end

-- Counts a change, and opens its period.
local function advance(first, after)
  head[2] = head[2] + 1
  if first and (head[3] ~= first or head[4] ~= after) then
    head[3], head[4], head[5], head[6] = first, after, head[2], 0
    tidy(first)
  end
end
