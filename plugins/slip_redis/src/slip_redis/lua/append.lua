-- Adds a batch of records to the streams of a topic, once, however often it is asked.
-- KEYS: the producer, the topic, then the streams.
-- ARGV: the batch's number; milliseconds to remember the producer; records and milliseconds that
-- a stream is to keep, or ''; then each record: its stream, how many words follow, the words.
-- Returns whether the batch was added now.
local MAX_SEQ = 1048575
-- A stream may have so many records too many: to trim one by one is more work.
local SLACK = 100
-- How many records are looked at at once, and how many are removed with one batch.
local CHUNK, MOST = 50, 5000

local number = tonumber(ARGV[1])
local max_length = tonumber(ARGV[3])
local max_age = tonumber(ARGV[4])
if tonumber(redis.call('GET', KEYS[1]) or '0') >= number then return 0 end
for i = 3, #KEYS do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'stream' and kind ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is no stream')
    end
end

local i = 5
while i <= #ARGV do
    local stream, last = KEYS[tonumber(ARGV[i]) + 2], i + 1 + tonumber(ARGV[i + 1])
    local id = redis.call('XADD', stream, '*', unpack(ARGV, i + 2, last))
    if #id > 20 then
        local ms, seq = string.match(id, '^(%d+)-(%d+)$')
        if tonumber(seq) > MAX_SEQ then
            redis.call('XDEL', stream, id)
            id = string.format('%.0f-0', tonumber(ms) + 1)
            redis.call('XADD', stream, id, unpack(ARGV, i + 2, last))
        end
    end
    i = last + 1
end
redis.call('SET', KEYS[1], number, 'PX', ARGV[2])

-- The last of the records that are too many, or nil.
local function last_of_surplus(stream)
    local left = redis.call('XLEN', stream) - max_length
    if left < SLACK then return nil end
    left = math.min(left, MOST)
    local last, from = nil, '-'
    while left > 0 do
        local some = redis.call('XRANGE', stream, from, '+', 'COUNT', math.min(left, CHUNK))
        last = some[#some][1]
        from, left = '(' .. last, left - #some
    end
    return last
end

-- The last of the records that are too old, or nil.
local function last_of_old(stream)
    local time = redis.call('TIME')
    local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - max_age
    if oldest <= 0 then return nil end
    local id = string.format('(%.0f-0', oldest)
    local entry = redis.call('XREVRANGE', stream, id, '-', 'COUNT', 1)[1]
    return entry and entry[1]
end

-- Removes records up to one, and notes which was the last of them and which is the first now: the
-- server does not keep it, and a group that has read all that is removed has missed nothing.
local function trim(stream, last)
    local entry = last and redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1]
    if not entry then return end
    redis.call('XTRIM', stream, 'MINID', '=', entry[1])
    redis.call('HSET', KEYS[2], 'trimmed:' .. stream, last .. ' ' .. entry[1])
end

for k = 3, #KEYS do
    if max_length then trim(KEYS[k], last_of_surplus(KEYS[k])) end
    if max_age then trim(KEYS[k], last_of_old(KEYS[k])) end
end
return 1
