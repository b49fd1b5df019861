"""A cache as a dictionary on disk, its keys in order, and a transaction on one of them.
Run it: python cache.py
"""

from slipcore import Cache

cache = Cache('db')

cache['prize'] = '🏆'
cache['phone'] = '📞'

for x, y in cache.items():
    print(x, y)

with cache.transaction('fish'):
    cache['fish'] = '🐟'

print(cache['fish'])
del cache['fish']
