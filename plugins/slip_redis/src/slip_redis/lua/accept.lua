-- Frees what a member gives up. ARGV: token, partitions.
for i = 2, #ARGV do
    local lease = lease_of(ARGV[i])
    if lease and lease.token == ARGV[1] then redis.call('HDEL', KEYS[1], 'lease:' .. ARGV[i]) end
end
