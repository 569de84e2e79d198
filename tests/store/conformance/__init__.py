"""What a database must promise: one test a promise of ``authserver/ports``, on the model, SQLite and PostgreSQL.

``place`` is every backend, ``database`` the two real ones: those tests race, break connections or write behind the
server's back, which dictionaries cannot suffer.
"""
