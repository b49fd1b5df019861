-- A sign of life of a member. ARGV: token. Returns whether it is one still.
local text = redis.call('HGET', KEYS[1], 'member:' .. ARGV[1])
if not text then return 0 end
local member = member_of(text)
member.deadline = now + member.session
store(ARGV[1], member)
return 1
