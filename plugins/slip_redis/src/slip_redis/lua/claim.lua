-- Makes an object the owner of a space, unless another one is and lives.
-- KEYS: format, owners, leases, the space's keys, its values.
-- ARGV: the format, token, space, milliseconds of the lease, who it is in words.
-- Returns {}; {'format', the one that is there}; {'type', a key}; or {'owner', its deadline, who}.
local format = redis.call('GET', KEYS[1])
if format and format ~= ARGV[1] then return {'format', format} end
for i, wanted in ipairs({'zset', 'hash'}) do
    local kind = redis.call('TYPE', KEYS[i + 3]).ok
    if kind ~= wanted and kind ~= 'none' then return {'type', KEYS[i + 3]} end
end
local token, space = ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner = redis.call('HGET', KEYS[2], space)
if owner and owner ~= token then
    local deadline, who = string.match(redis.call('HGET', KEYS[3], space) or '0 ', '^(%d+) (.*)$')
    if tonumber(deadline) >= now then return {'owner', deadline, who} end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], space, token)
redis.call('HSET', KEYS[3], space, string.format('%.0f %s', now + tonumber(ARGV[4]), ARGV[5]))
return {}
