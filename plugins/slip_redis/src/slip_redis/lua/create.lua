-- Makes a topic known, unless it is.
-- KEYS: the topic. ARGV: partitions, or '' for what it has or 1.
-- Returns {partitions, whether it is new}.
local found = redis.call('HGET', KEYS[1], 'partitions')
if found then return {tonumber(found), 0} end
local partitions = tonumber(ARGV[1]) or 1
redis.call('HSET', KEYS[1], 'partitions', partitions, 'format', '1')
return {partitions, 1}
