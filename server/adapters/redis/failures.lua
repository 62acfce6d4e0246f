-- Counts what ends by itself: a hash {n, e}, how many there are and when the count ends.
--
-- KEYS[1] is the count, ARGV[2] what is asked: "add NOW LIFETIME", "back NOW 0" or "forget NOW 0", in microseconds. The time is
-- the caller's; that a key expires only keeps Redis from filling up. Answered: "N END".
local what, now, lifetime = string.match(ARGV[2], '^(%a+) (%d+) (%d+)$')
now, lifetime = tonumber(now), tonumber(lifetime)
local found = redis.call('HMGET', KEYS[1], 'n', 'e')
local count, ends = tonumber(found[1]) or 0, tonumber(found[2]) or 0
if what == 'add' then
  -- One that ends later than a new one is of a clock that has stepped back.
  if ends <= now or ends > now + lifetime then count, ends = 0, now + lifetime end
  count = count + 1
  redis.call('HSET', KEYS[1], 'n', count, 'e', string.format('%.0f', ends))
  redis.call('PEXPIRE', KEYS[1], math.ceil(lifetime / 1000) + 60000)
elseif what == 'back' then
  if ends > now and count > 0 then
    count = count - 1
    redis.call('HSET', KEYS[1], 'n', count)
  end
else
  count, ends = 0, 0
  redis.call('DEL', KEYS[1])
end
return string.format('%.0f %.0f', count, ends)
