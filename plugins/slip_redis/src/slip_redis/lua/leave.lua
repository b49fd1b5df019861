-- Removes a member and frees what it has. ARGV: token.
local _, leases = load()
remove(ARGV[1], leases)
