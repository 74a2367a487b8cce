"""Who may connect, by what way, and what they may do. docs/network.md says it for operators.

What comes in: endpoint strings, the names of PEM files, what users say about both (`options`). What goes out:
Twisted endpoints, TLS around connections, and a verdict on each port that listens.

- `endpoints` makes endpoints of strings, which `endpoint_words` takes apart.
- `tls_files` names the files of TLS. `tls` owns the connections by TLS, `pem` reads the files, which `reloading`
  does again when they change. `with_extra` leads there: they need the extra ``tls``. `failures` says how TLS
  failed, `interfaces` what is asked of others.
- `client` is who is at the other end, `rights` the table that says what he may do.
- `policy` says who may connect, `places` what is this machine, `descriptors` what a port takes.

Imports: `errors`, `text`, `base`.
"""
