-- Pairs of a space in the order of their keys.
-- KEYS: the space's keys, its values. ARGV: from, to, whether backwards, how many at the most.
-- Returns keys and values in turn.
local CHUNK = 1000
local backwards = ARGV[3] == '1'
local keys = redis.call(backwards and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX', KEYS[1],
    backwards and ARGV[2] or ARGV[1], backwards and ARGV[1] or ARGV[2], 'LIMIT', 0, ARGV[4])
local found = {}
for first = 1, #keys, CHUNK do
    local last = math.min(first + CHUNK - 1, #keys)
    local values = redis.call('HMGET', KEYS[2], unpack(keys, first, last))
    for i = first, last do
        found[2 * i - 1] = keys[i]
        found[2 * i] = values[i - first + 1]
    end
end
return found
