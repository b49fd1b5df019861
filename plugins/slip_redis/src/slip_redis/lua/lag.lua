-- How much of streams has not been delivered to a group. KEYS: streams. ARGV: the group's name.
-- Returns for each a number, or -1 where it is not known.
local COUNTED = 1000
local found = {}
for i, stream in ipairs(KEYS) do
    found[i] = -1
    for _, reply in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        local group = fields(reply)
        if group.name == ARGV[1] then
            local after = '(' .. group['last-delivered-id']
            -- Before Redis 7 the server does not count, and counting all would take too long.
            local left = #redis.call('XRANGE', stream, after, '+', 'COUNT', COUNTED)
            if left < COUNTED then found[i] = left
            elseif type(group.lag) == 'number' then found[i] = group.lag end
        end
    end
end
return found
