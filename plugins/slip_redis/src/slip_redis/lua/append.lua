-- Adds a batch of records to the streams of a topic, once, however often it is asked.
-- KEYS: the producer, then the streams.
-- ARGV: the batch's number; milliseconds to remember the producer; records and milliseconds that
-- a stream is to keep, or ''; then each record: its stream, how many words follow, the words.
-- Returns whether the batch was added now.
local MAX_SEQ = 1048575
local number = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or '0') >= number then return 0 end
for i = 2, #KEYS do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'stream' and kind ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is no stream')
    end
end

local i = 5
while i <= #ARGV do
    local stream, last = KEYS[tonumber(ARGV[i]) + 1], i + 1 + tonumber(ARGV[i + 1])
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

local time = redis.call('TIME')
for k = 2, #KEYS do
    if ARGV[3] ~= '' then redis.call('XTRIM', KEYS[k], 'MAXLEN', '~', ARGV[3]) end
    if ARGV[4] ~= '' then
        local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[4])
        redis.call('XTRIM', KEYS[k], 'MINID', '~', string.format('%.0f', math.max(0, oldest)))
    end
end
return 1
