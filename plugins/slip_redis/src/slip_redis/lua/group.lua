-- A consumer group of a topic is one hash:
--   epoch, joined          counters
--   member:TOKEN           "deadline session joined instance", in milliseconds; instance '' if none
--   lease:PARTITION        "epoch token" of the member that has the partition
--   position:PARTITION     what was committed
--   acked:PARTITION        the id up to which nothing is pending in the stream's own group
--   alone:PARTITION        the id of an entry that is suspected of killing, and was handed over alone
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function member_of(text)
    local deadline, session, joined, instance = string.match(text, '^(%d+) (%d+) (%d+) (.*)$')
    return {
        deadline = tonumber(deadline), session = tonumber(session), joined = tonumber(joined),
        instance = instance,
    }
end

local function store(token, member)
    redis.call('HSET', KEYS[1], 'member:' .. token, string.format(
        '%.0f %.0f %.0f %s', member.deadline, member.session, member.joined, member.instance))
end

-- All members and leases there are.
local function load()
    local members, leases = {}, {}
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        local kind, name = string.match(all[i], '^(%a+):(.*)$')
        if kind == 'member' then
            members[name] = member_of(all[i + 1])
        elseif kind == 'lease' then
            local epoch, token = string.match(all[i + 1], '^(%d+) (.*)$')
            leases[name] = {epoch = tonumber(epoch), token = token}
        end
    end
    return members, leases
end

local function lease_of(partition)
    local text = redis.call('HGET', KEYS[1], 'lease:' .. partition)
    if not text then return nil end
    local epoch, token = string.match(text, '^(%d+) (.*)$')
    return {epoch = tonumber(epoch), token = token}
end

local function remove(token, leases)
    redis.call('HDEL', KEYS[1], 'member:' .. token)
    for partition, lease in pairs(leases) do
        if lease.token == token then
            redis.call('HDEL', KEYS[1], 'lease:' .. partition)
            leases[partition] = nil
        end
    end
end
