-- Entry ids, compared as the numbers that they are.
local MAX_SEQ = 1048575

local function parse(id)
    local ms, seq = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(seq)
end

local function less(a, b)
    local a_ms, a_seq = parse(a)
    local b_ms, b_seq = parse(b)
    return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
end

-- Whether no offset lies between two ids.
local function adjoins(a, b)
    local a_ms, a_seq = parse(a)
    local b_ms, b_seq = parse(b)
    if a_ms == b_ms then return b_seq == a_seq + 1 end
    return b_ms == a_ms + 1 and b_seq == 0 and a_seq == MAX_SEQ
end

-- A reply of pairs as a table.
local function fields(reply)
    local found = {}
    for i = 1, #reply, 2 do found[reply[i]] = reply[i + 1] end
    return found
end

-- The first entry and the last id of a stream, and what is known to be removed: "up to which entry"
-- it was trimmed, where that is known, and the last entry that was removed singly.
local function ends_of(topic, stream)
    if redis.call('EXISTS', stream) == 0 then return '', '0-0', {} end
    local info = fields(redis.call('XINFO', 'STREAM', stream))
    local first = info['first-entry'] and info['first-entry'][1] or ''
    local removed = {single = info['max-deleted-entry-id']}
    local trimmed, kept = string.match(
        redis.call('HGET', topic, 'trimmed:' .. stream) or '', '^(%S+) (%S+)$')
    if kept == first then removed.upto = trimmed end -- else somebody else has removed more
    return first, info['last-generated-id'], removed
end

-- Whether entries after `id` may have been removed. Where it is not known which was removed last,
-- an entry that is gone may have had successors.
local function is_cut(id, first, last, removed)
    if id == '0-0' or not less(id, last) then return false end
    if first == '' then return true end
    if not less(id, first) or adjoins(id, first) then return false end
    if removed.upto then return less(id, removed.upto) end
    return removed.single ~= id
end
