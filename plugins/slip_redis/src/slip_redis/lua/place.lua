-- Moves a member to a place in a partition that it has.
-- KEYS: the group, the stream, the topic.
-- ARGV: token, the group's name, partition, the id after which it goes on
-- ('-': all, '$': what comes from now on).
-- Returns {id}; {'', first id or '', last id} where entries after the id are gone, or it lies
-- behind the end; nil where the member does not have the partition.
local token, name, partition, start = unpack(ARGV)
local stream = KEYS[2]
local lease = lease_of(partition)
if not lease or lease.token ~= token then
    return nil
end
local kind = redis.call('TYPE', stream).ok
if kind ~= 'stream' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. stream .. ' is no stream')
end
local first, last, removed = ends_of(KEYS[3], stream)
if start == '-' then start = '0-0' end
if start == '$' then start = last end
if less(last, start) or is_cut(start, first, last, removed) then return {'', first, last} end

local delivered
for _, reply in ipairs(kind == 'stream' and redis.call('XINFO', 'GROUPS', stream) or {}) do
    local group = fields(reply)
    if group.name == name then delivered = group['last-delivered-id'] end
end
if not delivered then
    redis.call('XGROUP', 'CREATE', stream, name, start, 'MKSTREAM')
    delivered = start
end

-- Takes over what former owners were handed and did not finish; JUSTID lets its count of
-- deliveries stand.
local others = {}
for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, name)) do
    local other = fields(reply)
    if other.name ~= token then table.insert(others, other.name) end
end
if #others > 0 then
    local cursor = '0-0'
    repeat
        cursor = redis.call(
            'XAUTOCLAIM', stream, name, token, 0, cursor, 'COUNT', 1000, 'JUSTID')[1]
    until cursor == '0-0'
    for _, other in ipairs(others) do redis.call('XGROUP', 'DELCONSUMER', stream, name, other) end
end

-- What is pending is a prefix of what has been delivered: all after `acked`. Back before it there
-- is nothing pending, so that all has to be delivered anew.
local acked = redis.call('HGET', KEYS[1], 'acked:' .. partition)
local goes_back = not acked or less(start, acked)
local upto = goes_back and '+' or start
local pending
repeat
    pending = redis.call('XPENDING', stream, name, '-', upto, 1000)
    local ids = {}
    for i, entry in ipairs(pending) do ids[i] = entry[1] end
    if #ids > 0 then redis.call('XACK', stream, name, unpack(ids)) end
until #pending < 1000
if goes_back or less(delivered, start) then
    redis.call('XGROUP', 'SETID', stream, name, start)
end
redis.call('HSET', KEYS[1], 'acked:' .. partition, start)
return {start}
