-- Where streams begin and end, and whether they are read as they should.
-- KEYS: the topic, then streams. ARGV: the group's name, the consumer's, for each stream an id.
-- Returns for each {first id or '', last id, whether entries after the id are gone, whether
-- another consumer has been handed some}.
local name, consumer = ARGV[1], ARGV[2]
local found = {}
for i = 1, #KEYS - 1 do
    local stream = KEYS[i + 1]
    local first, last, removed = ends_of(KEYS[1], stream)
    local is_shared = 0
    for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', stream, name)) do
        local other = fields(reply)
        if other.name ~= consumer and other.pending > 0 then is_shared = 1 end
    end
    found[i] = {first, last, is_cut(ARGV[i + 2], first, last, removed) and 1 or 0, is_shared}
end
return found
