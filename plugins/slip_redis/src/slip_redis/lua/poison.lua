-- Moves an entry that killed its readers out of the way.
-- KEYS: the group, the stream, the poison stream.
-- ARGV: token, the group's name, partition, id, deliveries.
-- Returns whether it was there.
local token, name, partition, id, deliveries = unpack(ARGV)
local lease = lease_of(partition)
if not lease or lease.token ~= token then return 0 end
local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
if entry then
    redis.call('XADD', KEYS[3], '*', 'stream', KEYS[2], 'id', id, 'group', name,
        'deliveries', deliveries, unpack(entry[2]))
end
redis.call('XACK', KEYS[2], name, id)
redis.call('HDEL', KEYS[1], 'alone:' .. partition)
return entry and 1 or 0
