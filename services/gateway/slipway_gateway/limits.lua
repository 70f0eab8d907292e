-- Reserves or settles the use of one request in every scope (key, tenant) at once: all of it, or nothing.
--
-- KEYS: one hash per scope; its running streams are in a sorted set beside it.
-- ARGV[1], words with a blank between them (the client takes as long for a word of its own as this script for all of them): verb, request, requests, tokens, micro-dollars, stream (0/1), lease in ms, month, micro-dollars paid; then per scope: requests/min, tokens/min,
-- streams, micro-dollars a month; 0 means without limit. On settle, tokens and micro-dollars are what is given back (below zero: taken in addition), and paid
-- is what the request cost. `spent` holds what running requests reserved as well; `used` only what was paid, which is what alerts may tell of.
-- Time is the store's own, so that gateways with wrong clocks agree.
-- Returns words as well: admitted (1 or 0), scope, dimension (- for none), wait in ms, then per scope: requests left, tokens left.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local given = {}
for word in string.gmatch(ARGV[1], '%S+') do given[#given + 1] = word end
local verb, request, lease, month = given[1], given[2], given[7], given[8]
local requests, tokens, micros, stream, paid = tonumber(given[3]), tonumber(given[4]), tonumber(given[5]), tonumber(given[6]), tonumber(given[9])
local state, refused = {}, nil

local function filled(level, at, per_minute)
  if not level then return per_minute end
  return math.min(per_minute, tonumber(level) + math.max(0, now - tonumber(at)) * per_minute / 60000)
end

local function refuse(scope, dimension, wait)
  if not refused or wait > refused[3] then refused = {scope, dimension, wait} end
end

for i, key in ipairs(KEYS) do
  local at = 9 + (i - 1) * 4
  local rpm, tpm, streams, budget = tonumber(given[at + 1]), tonumber(given[at + 2]), tonumber(given[at + 3]), tonumber(given[at + 4])
  local held = redis.call('HMGET', key, 'requests', 'tokens', 'at', 'month', 'spent', 'used')
  local s = { rpm = rpm, tpm = tpm, requests = filled(held[1], held[3], rpm), tokens = filled(held[2], held[3], tpm), spent = 0, used = 0 }
  if held[4] == month then
    s.spent = tonumber(held[5])
    s.used = tonumber(held[6]) or s.spent
  end
  if verb == 'reserve' then
    if rpm > 0 and s.requests < requests then refuse(i, 'requests', (requests - s.requests) * 60000 / rpm) end
    -- A request larger than the whole bucket waits for a full one, and is paid off after.
    local needed = math.min(tokens, tpm)
    if tpm > 0 and s.tokens < needed then refuse(i, 'tokens', (needed - s.tokens) * 60000 / tpm) end
    if streams > 0 and stream == 1 then
      redis.call('ZREMRANGEBYSCORE', key .. ':streams', '-inf', now)
      if redis.call('ZCARD', key .. ':streams') >= streams then refuse(i, 'streams', 1000) end
    end
    -- A budget refuses what costs money; what is free neither needs one nor waits for the next month.
    if budget > 0 and micros > 0 and s.spent + micros > budget then refuse(i, 'budget', 3600000) end
  end
  state[i] = s
end

local out = { 1, 0, '-', 0 }
if refused then out = { 0, refused[1], refused[2], string.format('%.0f', math.ceil(refused[3])) } end
for i, key in ipairs(KEYS) do
  local s = state[i]
  if verb == 'reserve' and not refused then
    s.requests, s.tokens, s.spent = s.requests - requests, s.tokens - tokens, s.spent + micros
    if stream == 1 then
      redis.call('ZADD', key .. ':streams', now + tonumber(lease), request)
      redis.call('PEXPIRE', key .. ':streams', lease)
    end
  elseif verb == 'settle' then
    s.tokens, s.spent, s.used = math.min(s.tpm, s.tokens + tokens), math.max(0, s.spent - micros), s.used + paid
    redis.call('ZREM', key .. ':streams', request)
  end
  if not refused then
    redis.call('HSET', key, 'requests', s.requests, 'tokens', s.tokens, 'at', now, 'month', month, 'spent', s.spent, 'used', s.used)
    redis.call('EXPIRE', key, 3456000) -- forty days: longer than a month's budget must be remembered
  end
  out[#out + 1] = string.format('%.0f', math.floor(s.requests))
  out[#out + 1] = string.format('%.0f', math.floor(s.tokens))
end
return table.concat(out, ' ')
