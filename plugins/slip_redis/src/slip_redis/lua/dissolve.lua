-- Deletes a group of a topic. KEYS: the group, the streams. ARGV: the group's name.
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('XGROUP', 'DESTROY', KEYS[i], ARGV[1]) end
end
redis.call('DEL', KEYS[1])
