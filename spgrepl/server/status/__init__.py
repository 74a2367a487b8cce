"""What a server tells over HTTP, and how it is asked.

What comes in: requests. What goes out: JSON. `resource` owns the requests that wait, `local_only` says who may
change something, `guarded_site` bounds what strangers take, `client` asks from a program without a reactor.

Imports: `access`, `base`, `compiled`, `errors`, `text`, `watch`.
"""
