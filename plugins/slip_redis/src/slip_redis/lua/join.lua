-- Adds a member. ARGV: token, milliseconds of its session, instance or ''.
-- Returns '', or the deadline of a member that has this instance.
local members, leases = load()
if ARGV[3] ~= '' then
    for token, member in pairs(members) do
        if member.instance == ARGV[3] and token ~= ARGV[1] then
            if member.deadline >= now then return string.format('%.0f', member.deadline) end
            remove(token, leases)
        end
    end
end
store(ARGV[1], {
    deadline = now + tonumber(ARGV[2]), session = tonumber(ARGV[2]),
    joined = redis.call('HINCRBY', KEYS[1], 'joined', 1), instance = ARGV[3],
})
return ''
