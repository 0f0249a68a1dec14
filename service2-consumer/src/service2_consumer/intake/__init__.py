"""How messages become records: e-mails in messages, behind pointers, and in files."""
