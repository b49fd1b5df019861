-- Keeps the position of a partition and acknowledges what was delivered up to it.
-- KEYS: the group, the stream. ARGV: token, epoch, the group's name, partition, position, its id.
-- Returns 1 where more is to be acknowledged: ask again.
local token, epoch, name, partition, position, id = unpack(ARGV)
local lease = lease_of(partition)
if not lease or lease.token ~= token or lease.epoch > tonumber(epoch) then return 0 end
redis.call('HSET', KEYS[1], 'position:' .. partition, position)
local acked = redis.call('HGET', KEYS[1], 'acked:' .. partition)
if acked and less(acked, id) then redis.call('HSET', KEYS[1], 'acked:' .. partition, id) end
local pending = redis.call('XPENDING', KEYS[2], name, '-', id, 2000)
local ids = {}
for i, entry in ipairs(pending) do ids[i] = entry[1] end
if #ids > 0 then redis.call('XACK', KEYS[2], name, unpack(ids)) end
return #ids == 2000 and 1 or 0
