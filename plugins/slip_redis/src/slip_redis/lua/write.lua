-- Writes values of several spaces and positions of several readers, once, or nothing.
-- KEYS: owners, the number of the owner's last write; for each space its keys and its values; for
-- each reader its positions.
-- ARGV: token, the write's number, milliseconds to remember it, how many spaces, how many readers;
-- the spaces' names; for each space how many pairs, how many keys to delete, the pairs, the keys;
-- for each reader how many partitions, partitions and positions in turn.
local CHUNK = 1000
local token, number = ARGV[1], tonumber(ARGV[2])
local spaces, readers = tonumber(ARGV[4]), tonumber(ARGV[5])
for i = 6, 5 + spaces do
    local owner = redis.call('HGET', KEYS[1], ARGV[i])
    if not owner then return redis.error_reply('GONE ' .. ARGV[i]) end
    if owner ~= token then return redis.error_reply('FENCED ' .. ARGV[i]) end
end
if tonumber(redis.call('GET', KEYS[2]) or '0') >= number then return 0 end
for i = 3, #KEYS do
    local kind = redis.call('TYPE', KEYS[i]).ok
    local wanted = i <= 2 + 2 * spaces and i % 2 == 1 and 'zset' or 'hash'
    if kind ~= wanted and kind ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is no ' .. wanted)
    end
end

local at = 6 + spaces
for space = 1, spaces do
    local keys, values = KEYS[1 + 2 * space], KEYS[2 + 2 * space]
    local puts, deletes = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    at = at + 2
    local stop = at + 2 * puts
    while at < stop do
        local last = math.min(at + 2 * CHUNK, stop) - 1
        redis.call('HSET', values, unpack(ARGV, at, last))
        local members = {}
        for i = at, last, 2 do
            members[#members + 1] = 0
            members[#members + 1] = ARGV[i]
        end
        redis.call('ZADD', keys, unpack(members))
        at = last + 1
    end
    stop = at + deletes
    while at < stop do
        local last = math.min(at + CHUNK, stop) - 1
        redis.call('HDEL', values, unpack(ARGV, at, last))
        redis.call('ZREM', keys, unpack(ARGV, at, last))
        at = last + 1
    end
end
for reader = 1, readers do
    local partitions = tonumber(ARGV[at])
    at = at + 1
    local stop = at + 2 * partitions
    while at < stop do
        local last = math.min(at + 2 * CHUNK, stop) - 1
        redis.call('HSET', KEYS[2 + 2 * spaces + reader], unpack(ARGV, at, last))
        at = last + 1
    end
end
redis.call('SET', KEYS[2], number, 'PX', ARGV[3])
return 1
