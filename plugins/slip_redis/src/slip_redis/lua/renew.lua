-- Renews the leases of spaces that an object owns.
-- KEYS: owners, leases. ARGV: token, milliseconds of the lease, who it is in words, spaces.
-- Returns the spaces that it owns still.
local renewed = {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 4, #ARGV do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[1] then
        local lease = string.format('%.0f %s', now + tonumber(ARGV[2]), ARGV[3])
        redis.call('HSET', KEYS[2], ARGV[i], lease)
        table.insert(renewed, ARGV[i])
    end
end
return renewed
