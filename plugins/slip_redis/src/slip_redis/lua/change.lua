-- Removes the dead, takes what is free of a member's share, and names what is its share no more.
-- ARGV: token, how many partitions there are, whether it has been told anything, what it has.
-- Returns {} where there is nothing to tell, else
-- {epoch, lost, partitions it gets, their positions or '', partitions it has to give up, dead}.
local token, partitions, greeted = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local held = {}
for i = 4, #ARGV do held[ARGV[i]] = true end
local members, leases = load()

local gone = {}
if not members[token] then
    for partition in pairs(held) do table.insert(gone, partition) end
    return {redis.call('HINCRBY', KEYS[1], 'epoch', 1), 1, {}, {}, gone, 0}
end

local living, dead = {}, 0
for other, member in pairs(members) do
    if other == token or member.deadline >= now then
        table.insert(living, other)
    else
        remove(other, leases)
        dead = dead + 1
    end
end
members[token].deadline = now + members[token].session
store(token, members[token])

table.sort(living, function(a, b)
    local one, two = members[a], members[b]
    if (one.instance == '') ~= (two.instance == '') then return two.instance == '' end
    if one.instance ~= two.instance then return one.instance < two.instance end
    return one.joined < two.joined
end)
local mine = {}
for index, other in ipairs(living) do
    if other == token then
        for partition = index - 1, partitions - 1, #living do mine[tostring(partition)] = true end
    end
end

local added, positions = {}, {}
for partition in pairs(mine) do
    local lease = leases[partition]
    local is_free = not lease or lease.token == token or not members[lease.token]
    if is_free and not held[partition] then
        table.insert(added, partition)
        table.insert(positions, redis.call('HGET', KEYS[1], 'position:' .. partition) or '')
    end
end
for partition in pairs(held) do
    if not mine[partition] then table.insert(gone, partition) end
end
if greeted and #added == 0 and #gone == 0 then return {} end

local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
for _, partition in ipairs(added) do
    redis.call('HSET', KEYS[1], 'lease:' .. partition, string.format('%.0f %s', epoch, token))
end
return {epoch, 0, added, positions, gone, dead}
